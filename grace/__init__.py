"""The command line: one program, `grace`; each package brings its own subcommands (see `grace.main.COMMANDS`)."""
