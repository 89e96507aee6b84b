"""Parse churn.toml: churn definitions, horizons and labels, goals, alert thresholds and value settings.

churn_definition    `ChurnDefinition`: the whole file, parsed, checked, hashed and printed back with its defaults
named_definition    one `[churn.definitions.NAME]`: an event, or the absence of events
predicate           `where`: allowed property values of an event
competing_risks     voluntary and involuntary churn: two labels, two probabilities, two routes
event_mapping       `[events]`: what the names of the user's own events mean
goals               `[goals.NAME]`: which events reach a goal, and the time to value
alert_keys          `[alerts]`: the keys and what each accepts (defaults: `models.alerts.settings`)
threshold           a probability, or a share of customers such as "top 5%"
value_settings      `[value]`: margin, discount and parameters of the value models
toml_table          checked reading of TOML tables, with one-sentence errors
"""

from __future__ import annotations

from models.definition.alert_keys import ALERT_KEYS
from models.definition.churn_definition import ChurnDefinition
from models.definition.competing_risks import BILLING, INVOLUNTARY, ROUTES, SUCCESS, VOLUNTARY, Horizons, Involuntary
from models.definition.goals import Goal, GoalFacts, Goals
from models.definition.named_definition import Definition, EventDefinition, InactivityDefinition, matches
from models.definition.threshold import Threshold
from models.definition.toml_table import DefinitionError, Table
from models.definition.value_settings import ValueSettings

__all__ = [
    "ALERT_KEYS",
    "BILLING",
    "INVOLUNTARY",
    "ROUTES",
    "SUCCESS",
    "VOLUNTARY",
    "ChurnDefinition",
    "Definition",
    "DefinitionError",
    "EventDefinition",
    "Goal",
    "GoalFacts",
    "Goals",
    "Horizons",
    "InactivityDefinition",
    "Involuntary",
    "Table",
    "Threshold",
    "ValueSettings",
    "matches",
]
