"""Seeded customers with known hazards: every event that they cause, in order of event time, and the truth behind it.

The same settings give the same bytes. Days are drawn one after the other with dice of their own, so a longer
simulation begins with the shorter one, and memory holds the customers who are there, not their history.

    customer     kinds, hidden states, hazards, daily steps: the table to read first
    calendar     holidays, weekends, season
    hazard       the exact probability of having left, given the state now
    population   what is fixed about a customer; who is new
    day          one day's drafts
    usage, billing, feedback    what the day shows, by families of events
    simulator    puts the days together

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
