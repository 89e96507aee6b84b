"""Learn from matured labels and publish model snapshots.

    trainer            lead or stand by; publish snapshots with the offset of their labels
    learner            learn labels into the model and report its quality
    published_quality  read the quality record, checked

Import from the modules. The package itself imports nothing, so that commands do not load the learning libraries.
"""
