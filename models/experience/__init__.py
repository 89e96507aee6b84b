"""Customer experience: CSAT, NPS, CES, barriers and goals, and the churn of customers by their answers.

indices       CSAT, NPS, CES, survey response rate and the CX index of one customer
barriers      barriers that a customer named in the last 90 days
context       a customer's answers, barriers and goals at a training snapshot, kept until its label matures
aggregates    sums of matured labels by answer, barrier and goal, their blocks, and the published metrics
report        the experience report, and its JSON form
"""

from __future__ import annotations

from models.experience.aggregates import ExperienceAggregates, ExperienceSums, SumIncrement, Sums
from models.experience.barriers import BARRIER_DAYS, recent_barriers
from models.experience.context import ExperienceContext, experience_context
from models.experience.indices import Experience, experience_indices
from models.experience.report import ExperienceReport, as_data, build

__all__ = [
    "BARRIER_DAYS",
    "Experience",
    "ExperienceAggregates",
    "ExperienceContext",
    "ExperienceReport",
    "ExperienceSums",
    "SumIncrement",
    "Sums",
    "as_data",
    "build",
    "experience_context",
    "experience_indices",
    "recent_barriers",
]
