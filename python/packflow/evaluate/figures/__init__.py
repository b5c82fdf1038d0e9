"""The paper's figures from an evaluation: what is in them, and how they are drawn as PNG and HTML."""
