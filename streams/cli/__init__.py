"""The command line: `churn-signals COMMAND`.

Each command is a click command in the module of its name; `main` loads the module when the command runs. The modules
hold options, Kafka access and errors; streams.rendering prints.

    main        the list of commands, help and exit codes
    options     options of several commands: --config and times
    progress    the progress bar, and reading a file's events with it
    replay      plans and sends replays for `dlq replay`
"""
