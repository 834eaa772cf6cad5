"""`testudo loadtest VERB`: which limits to set, measured."""

COMMANDS = {
    "run": ("loadtest.commands.run", "send a profile's traffic, or a recorded trace, and measure"),
    "knee": ("loadtest.commands.knee", "find the highest rate that holds a latency goal"),
    "calibrate": (
        "loadtest.commands.calibrate",
        "measure what an item costs, for plans, and prove what is predicted from it",
    ),
    "plan": ("loadtest.commands.plan", "say which limits to set for a number of customers"),
    "report": (
        "loadtest.commands.report",
        "make an HTML page of results and plans, runs beside each other",
    ),
}
