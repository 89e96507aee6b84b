"""Retention accounting: churn, retention and revenue flows as sums that partitions add up.

accounts              a partition's accounting of a batch, as changes of its store
activity_flows        active days: new, returning, resurrected and dormant customers per period
subscription_flows    subscriptions: new, reactivated and churned customers and MRR per period
subscription_book     a customer's subscriptions while their changes are applied
aggregates            the sums by segment, series and time, their blocks, and the published metrics
rates                 logo churn, MRR churn, GRR, NRR, retention by age and cohorts, from the sums
kaplan_meier          survival of subscriptions, with confidence intervals and cumulative incidence by cause
life_table            running and ended subscriptions per plan, which the value forecast reads
report                the complete report, and its JSON form
"""

from __future__ import annotations

from models.retention.accounts import RetentionAccounts
from models.retention.activity_flows import ActivityView
from models.retention.aggregates import RetentionSums, Sums
from models.retention.kaplan_meier import SurvivalAge, median_days
from models.retention.life_table import LifeTable, LifeTableBuilder, LifetimeMove
from models.retention.rates import ActivityCounts, AgeShare, CohortRow, Revenue, SumSeries
from models.retention.report import RetentionFigures, RetentionReport, as_data, build

__all__ = [
    "ActivityCounts",
    "ActivityView",
    "AgeShare",
    "CohortRow",
    "LifeTable",
    "LifeTableBuilder",
    "LifetimeMove",
    "RetentionAccounts",
    "RetentionFigures",
    "RetentionReport",
    "RetentionSums",
    "Revenue",
    "SumSeries",
    "Sums",
    "SurvivalAge",
    "as_data",
    "build",
    "median_days",
]
