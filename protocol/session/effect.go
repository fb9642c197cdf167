package session

import (
	"time"

	"github.com/pando-agents/pando/protocol"
)

// EffectKind says what is to be done.
type EffectKind uint8

// The effects, with the fields they use.
const (
	// EffectWrite: send Message on the connection Epoch; Control asks for the
	// control lane.
	EffectWrite EffectKind = iota + 1
	// EffectDeliver: hand Message to the application.
	EffectDeliver
	// EffectResolve: Message is the reply to the request ID.
	EffectResolve
	// EffectFail: the message ID was not sent, or the request ID gets no
	// reply; Reason is one of the Fail constants, Err may say more.
	EffectFail
	// EffectOpened: messages can flow on Epoch; Capabilities are the peer's.
	// Reopened is set when the channel came back after a loss.
	EffectOpened
	// EffectDial: make a connection now (At) and report it.
	EffectDial
	// EffectPing: send a WebSocket ping on Epoch.
	EffectPing
	// EffectDisconnect: start the WebSocket close handshake of Epoch with Code
	// and Reason (at most 123 bytes).
	EffectDisconnect
	// EffectAbort: drop the network connection of Epoch now.
	EffectAbort
	// EffectArm: send EventTick at At, instead of any tick asked for before.
	EffectArm
	// EffectStateChanged: the state went From To; to reconnecting because of Err.
	EffectStateChanged
	// EffectDropped: something was ignored; Reason is one of the Drop
	// constants, ID the message's. For counting.
	EffectDropped
	// EffectClosed: the end; Code is the WebSocket close code, Err is nil when
	// the end was asked for by this side and otherwise an *Error. The last
	// effect of a session.
	EffectClosed
)

var effectNames = [...]string{
	"none", "write", "deliver", "resolve", "fail", "opened", "dial", "ping",
	"disconnect", "abort", "arm", "state-changed", "dropped", "closed",
}

// String returns the name of the effect in lower case.
func (k EffectKind) String() string {
	if int(k) < len(effectNames) {
		return effectNames[k]
	}
	return "unknown"
}

// Reasons of EffectFail.
const (
	// FailNotSent: nothing was written: there is no open connection, not the
	// one asked for, or the type is not allowed.
	FailNotSent = "not_sent"
	// FailTooManyPending: Config.MaxPending requests wait already; not written.
	FailTooManyPending = "too_many_pending"
	// FailTimeout: the deadline passed.
	FailTimeout = "timeout"
	// FailOutcomeUnknown: the connection was lost after the request was
	// written; it may have been carried out.
	FailOutcomeUnknown = "outcome_unknown"
	// FailClosed: the channel was closed before the reply came.
	FailClosed = "closed"
)

// Reasons of EffectDropped.
const (
	// DropBeforeAccept: a message from the acceptor before channel.accept.
	DropBeforeAccept = "before_accept"
	// DropWrongReply: a channel.accept that answers another open.
	DropWrongReply = "wrong_reply"
	// DropUnexpected: a channel message that has no meaning here.
	DropUnexpected = "unexpected"
	// DropClosing: an application message while the channel closes.
	DropClosing = "closing"
	// DropDuplicateID: a request under the id of one that still waits; not
	// written.
	DropDuplicateID = "duplicate_id"
)

// Effect is something to be done. Which fields count depends on Kind.
type Effect struct {
	Kind         EffectKind
	Control      bool
	Reopened     bool
	From, To     protocol.State
	Code         int
	Epoch        uint64
	At           time.Time
	ID           string
	Reason       string
	Err          error
	Capabilities []string
	Message      protocol.Envelope
}
