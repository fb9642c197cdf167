package pando

import (
	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/protocol"
)

// Channel is one authenticated channel to another agent. Its methods are Send,
// Request, Receive, Close and what tells about it; all are safe for concurrent
// use.
type Channel = channel.Channel

// ChannelInfo is what there is to see of a channel.
type ChannelInfo = channel.Info

// Message is an application message as it arrived.
type Message = channel.Message

// Reply is an answer of a handler with a type of its own. A nil *Reply is no
// answer at all.
type Reply = channel.Reply

// Handler handles messages of one type.
type Handler = channel.Handler

// HandlerFunc is a function as a Handler.
type HandlerFunc = channel.HandlerFunc

// State is where a channel stands.
type State = protocol.State

// The states of a channel.
const (
	StateConnecting   = protocol.StateConnecting
	StateConnected    = protocol.StateConnected
	StateReconnecting = protocol.StateReconnecting
	StateClosing      = protocol.StateClosing
	StateClosed       = protocol.StateClosed
)

// The message types that applications use by convention. Any other type is
// allowed too, as long as it does not begin with "channel.".
const (
	Request  = protocol.TypeRequest
	Response = protocol.TypeResponse
	Event    = protocol.TypeEvent
)
