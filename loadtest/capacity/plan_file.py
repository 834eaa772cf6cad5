"""The file that `testudo launch --plan` reads, with comments that say where it comes from."""

from loadtest.capacity.plan_record import Plan
from loadtest.capacity.regression import Interval
from testudo.cloud.plan_file import PLANNED


def plan_toml(plan: Plan) -> str:
    """The limits of the chosen step, as values of an environment."""
    step = plan.chosen
    provisional = " It is provisional: measure one." if plan.calibration["provisional"] else ""
    held = "holds" if step.feasible else "does NOT hold"
    comments = [
        f"Limits for {step.customers:,} customers of profile {plan.profile}: {held} a p95 of "
        f"{plan.slo_p95_s:g} s.",
        f"Calculated for {plan.days:g} days with seed {plan.seed}, from the calibration of "
        f"{plan.calibration['made_at']} ({plan.calibration['machine']}).{provisional}",
        f"Offered: {step.rate_mean:.2f} items/s, {step.rate_peak:.2f} in the busiest minute.",
        f"Expected: p95 {_of(step.p95_s)} s; in the worst hour {_of(step.worst_hour.p95_s)} s; "
        f"{_of(step.usd_month, '.0f')} USD a month in {plan.region}, prices of "
        f"{plan.prices_version}.",
        *(f"Assumed: {one}" for one in plan.assumptions),
        "Use it: testudo launch ENVIRONMENT --template VERSION --plan THIS_FILE",
    ]
    values = [f"{name} = {_value(getattr(step, name))}" for name in PLANNED]
    # A calibration's words may have line ends, after which a comment would be a value.
    told = [f"# {' '.join(one.split())}" for one in comments]
    return "\n".join([*told, "", *values, ""])


def _of(interval: Interval, form: str = ".1f") -> str:
    return f"{interval.mid:{form}} ({interval.low:{form}} to {interval.high:{form}})"


def _value(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
