"""Many proposals of many molecules: a plan of units of work, executors that sample them, and a store that can be continued."""

from packflow.campaign.job import Job
from packflow.campaign.run import run
from packflow.campaign.store import Store

__all__ = ["Job", "Store", "run"]
