"""Keeps PagerDuty and StackFlow incidents in step. Plain Python: imports nothing of StackStorm."""
