package system

import "time"

// The kinds of Event.
const (
	EventRegistry = "registry" // the identity registry of the system runs
	EventUp       = "up"       // an agent, or an actor, has started
	EventDown     = "down"     // it has failed, and is started again
	EventStopped  = "stopped"  // it has ended because it was asked to
	EventGone     = "gone"     // it has failed, or hangs, and is given up
	EventSays     = "says"     // an actor, or an external agent, tells what it does
	EventOutput   = "output"   // a line that a process has written
	EventAsked    = "asked"    // the question has been put, or put again
	EventKilled   = "killed"   // an agent was killed because it was asked for
	EventAnswer   = "answer"   // the answer to the question
)

// Event is something that happens in a system. As JSON, on a line of its own, it
// is what processes of a system tell each other.
type Event struct {
	Time  time.Time `json:"time"`
	Kind  string    `json:"event"`
	Agent string    `json:"agent,omitempty"`
	Actor string    `json:"actor,omitempty"`
	PID   int       `json:"pid,omitempty"`
	Text  string    `json:"text,omitempty"`
}
