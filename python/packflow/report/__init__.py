"""What a run leaves behind: tables and structure files."""
