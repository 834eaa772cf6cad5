"""`testudo loadtest ACTION`: which limits to set, measured."""

COMMANDS = {
    "run": ("loadtest.run", "send a profile's traffic, or a recorded trace, and measure it"),
    "knee": ("loadtest.knee", "find the highest rate that holds a latency goal"),
    "compare": ("loadtest.compare", "show two results side by side"),
    "calibrate": ("loadtest.calibrate", "measure what an item costs, which plans are made from"),
    "prove": ("loadtest.prove", "predict runs, then measure them"),
    "fairness": ("loadtest.fairness", "measure what a wild tenant does to the others"),
    "report": ("loadtest.report.command", "make an HTML page of results and plans"),
    "tour": ("loadtest.tour", "see all of this in ten minutes, on the local stack"),
}
