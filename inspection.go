package pando

import (
	"time"

	"github.com/pando-agents/pando/actors/remote"
)

// InspectionSchema is the number of the schema of an Inspection. Fields are
// added under the same number; it changes when one goes or means something else.
const InspectionSchema = 1

// Inspection is what there is to see of an agent at one moment. As JSON it is
// what Admin serves and pando inspect prints.
type Inspection struct {
	Schema  int    `json:"schema"`
	AgentID string `json:"agent_id"`
	// Version is that of the Pando module in the program.
	Version string    `json:"version"`
	Time    time.Time `json:"time"`
	// UptimeMS is how long the agent has been running, in milliseconds; 0
	// before Run.
	UptimeMS int64 `json:"uptime_ms"`
	// Accepting says whether the agent takes new channels, as Healthz does.
	Accepting bool `json:"accepting"`
	// Tree is the supervision tree, without the channels: those follow.
	Tree     InspectedNode     `json:"tree"`
	Channels InspectedChannels `json:"channels"`
	// Actors are those with a name, the exposed ones first, then by name; at most
	// 1,000 of ActorsTotal. Their incarnations are in the Tree.
	Actors      []InspectedActor `json:"actors"`
	ActorsTotal int              `json:"actors_total"`
	// Abandoned are incarnations that were given up on and have not ended, the
	// oldest first, at most 100 of AbandonedNow; AbandonedTotal counts those that
	// have ended too.
	Abandoned      []InspectedAbandoned `json:"abandoned"`
	AbandonedNow   int                  `json:"abandoned_now"`
	AbandonedTotal uint64               `json:"abandoned_total"`
	// Handshakes are counted as by Agent.Handshakes.
	Handshakes map[string]uint64 `json:"handshakes"`
	// DeadLetters are messages to actors that nobody took.
	DeadLetters uint64 `json:"dead_letters"`
}

// InspectedActor is a named actor, and how others reach it.
type InspectedActor = remote.Info

// InspectedNode is a supervisor or another child in the supervision tree.
type InspectedNode struct {
	ID   string `json:"id"`
	Path string `json:"path"`
	// Kind is "supervisor", "actor" (it has a mailbox) or "service".
	Kind string `json:"kind"`
	// Strategy is set for supervisors: one_for_one, one_for_all, rest_for_one
	// or dynamic.
	Strategy string `json:"strategy,omitempty"`
	// State is idle, starting, running, backing off, stopping or down.
	State string `json:"state"`
	// Restart says when it is started again: permanent, transient or temporary;
	// empty for the root.
	Restart    string `json:"restart,omitempty"`
	Generation uint64 `json:"generation"`
	// Restarts are those after failures of its own.
	Restarts uint64 `json:"restarts"`
	// ChildRestarts are those that a supervisor has carried out.
	ChildRestarts uint64 `json:"child_restarts,omitempty"`
	// UptimeMS is the age of the incarnation, in milliseconds.
	UptimeMS    int64             `json:"uptime_ms"`
	LastFailure *InspectedFailure `json:"last_failure,omitempty"`
	Mailbox     *InspectedMailbox `json:"mailbox,omitempty"`
	// Children are in the order of their starts; if there are more than 100,
	// those that were restarted most often. ChildrenTotal counts all. The
	// channels are in Inspection.Channels instead.
	Children      []InspectedNode `json:"children,omitempty"`
	ChildrenTotal int             `json:"children_total,omitempty"`
}

// InspectedFailure is why a child failed last.
type InspectedFailure struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	// Stack is that of a panic, if stacks were asked for.
	Stack string `json:"stack,omitempty"`
}

// InspectedMailbox is how much work waits for an actor.
type InspectedMailbox struct {
	Queued    int    `json:"queued"`
	HighWater int    `json:"high_water"`
	Dropped   uint64 `json:"dropped"`
}

// InspectedChannels are the channels of an agent.
type InspectedChannels struct {
	Total   int            `json:"total"`
	ByState map[string]int `json:"by_state"`
	// List has those with the most to tell first: restarts, a broken
	// connection, queues, then losses. It has fewer than Total if there are
	// more than were asked for.
	List []InspectedChannel `json:"list"`
}

// InspectedChannel is a channel, and the actor that owns it. The query of its
// URL is left out: it may hold what is not to be shown.
type InspectedChannel struct {
	ChannelInfo
	// Actor is missing if the channel has just ended.
	Actor *InspectedNode `json:"actor,omitempty"`
}

// InspectedAbandoned is an incarnation that was given up on.
type InspectedAbandoned struct {
	Path       string    `json:"path"`
	Generation uint64    `json:"generation"`
	Since      time.Time `json:"since"`
	Reason     string    `json:"reason"`
	Stack      string    `json:"stack,omitempty"`
}

// InspectedEvent is what has happened to a child, as Admin streams it.
type InspectedEvent struct {
	Time time.Time `json:"time"`
	// Kind is started, failed, ended, stopped, gave up, abandoned or returned.
	Kind       string `json:"kind"`
	Path       string `json:"path"`
	Generation uint64 `json:"generation"`
	Reason     string `json:"reason,omitempty"`
	// DelayMS is the back-off before the next start, after a failure.
	DelayMS int64 `json:"delay_ms,omitempty"`
	// Missed is the number of events that the reader has lost just before this
	// one, by being slow.
	Missed uint64 `json:"missed,omitempty"`
}

// InspectOptions say how much to look at.
type InspectOptions struct {
	// Channels bounds the list of channels: default 50, at most 10,000; -1 for
	// none.
	Channels int
	// Stacks adds the stacks of failures that were panics.
	Stacks bool
}
