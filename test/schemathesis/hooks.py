"""What JSON Schema cannot say: numbers that no double holds are refused, a stream or an id may stand only once."""

import schemathesis

LARGEST = 2**53 - 1


def exact(value):
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return abs(value) <= LARGEST
    if isinstance(value, dict):
        return all(exact(item) for item in value.values())
    if isinstance(value, list):
        return all(exact(item) for item in value)
    return True


def unique(values):
    texts = [value for value in values if isinstance(value, str)]
    return len(texts) == len(set(texts))


def fields(items, name):
    return [item.get(name) for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def sensible(body):
    if not isinstance(body, dict):
        return exact(body)
    appends = body.get("appends")
    events = [event for part in [body, *(appends if isinstance(appends, list) else [])] for event in events_of(part)]
    return exact(body) and unique(fields(appends, "stream")) and unique(fields(events, "id"))


def events_of(part):
    events = part.get("events") if isinstance(part, dict) else None
    return events if isinstance(events, list) else []


@schemathesis.hook
def filter_body(context, body):
    return sensible(body)


@schemathesis.hook
def filter_case(context, case):
    return sensible(case.body)
