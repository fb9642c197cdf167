package session

import (
	"time"

	"github.com/pando-agents/pando/protocol"
)

// EventKind says what happened.
type EventKind uint8

// The events, with the fields they use besides At.
const (
	// EventConnected: a WebSocket connection is up (Epoch).
	EventConnected EventKind = iota + 1
	// EventReceived: a message was read and decoded (Epoch, Message).
	EventReceived
	// EventAlive: a pong or any other sign of life was read (Epoch).
	EventAlive
	// EventSend: the application wants to send (ID, Actor, Type, Data, ReplyTo,
	// Request, Deadline, Epoch). A Request waits for the reply to ID. Epoch
	// binds the message to one connection, as a handler's answer is; 0 means
	// whichever is up. An empty ID is filled in from Config.NewID.
	EventSend
	// EventCancel: nobody waits for the reply to ID any more.
	EventCancel
	// EventTick: the time of the last EffectArm has come.
	EventTick
	// EventLost: the connection ended (Epoch, Code, Reason, Err). Code is the
	// WebSocket close code, 1006 when it was cut (RFC 6455 §7.1.5). Final
	// forbids to try again.
	EventLost
	// EventDialFailed: an attempt to connect failed (Err). Final forbids to
	// try again.
	EventDialFailed
	// EventCloseAsked: the channel is to be closed (Reason, default "normal").
	// Code other than 0 and 1000 closes the WebSocket with that code at once,
	// without channel.close.
	EventCloseAsked
)

var eventNames = [...]string{
	"none", "connected", "received", "alive", "send", "cancel", "tick", "lost", "dial-failed", "close-asked",
}

// String returns the name of the event in lower case.
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return "unknown"
}

// Event is something that happened. Which fields count depends on Kind.
type Event struct {
	Kind     EventKind
	Request  bool
	Final    bool
	Code     int
	Epoch    uint64
	At       time.Time // of every event; should not run backwards
	Deadline time.Time // of a request; zero means none
	ID       string
	Actor    string // the actor of the peer that it is for
	Type     string
	ReplyTo  string
	Reason   string
	Data     []byte // kept by reference in the effects of this step only
	Err      error
	Message  protocol.Envelope // kept by reference likewise
}
