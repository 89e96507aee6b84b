"""Simulated customers with known churn hazards: their events in order of event time, and the true probabilities.

The same settings give the same bytes. Each day has its own random generators, so a longer simulation starts with the
shorter one. Memory holds the present customers, not their history.

    customer      kinds of customers: hidden states, hazards and transitions; read this table first
    calendar      holidays, weekends and seasons
    hazard        exact probability of having churned, given the current state
    population    fixed attributes of customers, and new customers
    day           draft events of one day
    usage, billing, feedback    events of one day, by family
    simulator     draws one day after the other

>>> simulation = Simulation(SimulationSettings(customers=200, days=60), record=True)
>>> events = list(simulation.events())
>>> len(events), len(simulation.traces)
(22448, 226)
>>> trace, month_ms = simulation.traces["c000001"], 30 * 86_400_000
>>> trace.kind, round(true_probability(trace, trace.since_ms, horizon_days=30), 4)
('fading', 0.3148)
"""

from models.simulation.hazard import Trace, true_probabilities, true_probability
from models.simulation.simulator import Hazard, SimulatedEvent, Simulation, SimulationSettings, traces

__all__ = [
    "Hazard",
    "SimulatedEvent",
    "Simulation",
    "SimulationSettings",
    "Trace",
    "traces",
    "true_probabilities",
    "true_probability",
]
