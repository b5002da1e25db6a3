"""The doctor: looks at the whole chain that trading hangs on, and says of each link how it is and what to do.

`examination` asks everybody at once and gives the findings in order; `model_set`, `account`, `retraining` and `host`
each look at their part.
"""

from daemon.doctor.examination import examine

__all__ = ["examine"]
