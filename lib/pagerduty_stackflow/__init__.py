"""Keeps PagerDuty and StackFlow incidents in sync. Plain Python: imports nothing of StackStorm."""
