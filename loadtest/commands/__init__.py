"""`testudo loadtest ACTION`: which limits to set, measured."""

COMMANDS = {
    "run": (
        "loadtest.commands.run",
        "send a profile's traffic, or a recorded trace, and measure it",
    ),
    "knee": ("loadtest.commands.knee", "find the highest rate that holds a latency goal"),
    "compare": ("loadtest.commands.compare", "show two results side by side"),
    "calibrate": (
        "loadtest.commands.calibrate",
        "measure what an item costs, which plans are made from",
    ),
    "prove": ("loadtest.commands.prove", "predict runs, then measure them"),
    "fairness": ("loadtest.commands.fairness", "measure what a wild tenant does to the others"),
    "report": ("loadtest.commands.report", "make an HTML page of results and plans"),
    "tour": ("loadtest.commands.tour", "see all of this in ten minutes, on the local stack"),
}
