"""Quality of the model on simulated customers, beside their true hazards."""
