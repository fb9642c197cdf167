package measure

import "time"

// The names of the cases. Each library measures those that it has a way to do.
const (
	TellOutside    = "tell from a goroutine"
	TellInside     = "tell from an actor"
	TellSupervised = "tell to a supervised actor"
	PingPong       = "ping-pong"
	Request        = "request with a deadline"
	RequestShared  = "request, deadline of the caller"
	Spawn          = "spawn"
	SpawnChild     = "spawn, supervised"
	Idle           = "idle"
	IdleChild      = "idle, supervised"
	PanicToNext    = "panic to next message"
)

// Burst is how many messages an actor tells another before it waits for the
// other to have handled them.
const Burst = 100

// Timeout is the deadline of each request; none is missed.
const Timeout = 10 * time.Second

// Letter is the message in most cases.
type Letter struct {
	N     int
	Reply chan *Letter
}

// Measurement does something n times.
type Measurement func(n int) Sample

// Library is one of those compared: how it does the cases that it has a way to do.
type Library struct {
	Name    string
	Measure map[string]Measurement
}
