/** What is written in every benchmark: an event of about 300 bytes, as the permit data has them. */

export const eventType = 'Confirmation of receipt'

export function sampleData(index: number) {
  return {
    channel: 'Internet',
    deadline: '2010-11-26T00:00:00.000+01:00',
    department: 'General',
    endedAt: '2010-11-12T13:40:44.661+01:00',
    group: 'Group 1',
    resource: `Resource${index % 40}`,
    responsible: 'Resource26',
    startedAt: '2010-10-01T00:00:00.020+02:00',
    task: `task-${index}`,
  }
}

/** The fold of a decider: enough to touch every event. */
export function count(state: { events: number; last: string }, event: { data: unknown }) {
  return { events: state.events + 1, last: (event.data as { task: string }).task }
}
