// Package protocol holds the wire format of an agent channel: the envelope of
// protocol 1.0, its message types, a strict JSON codec and the errors that
// travel on the wire. It does no I/O, starts no goroutine and reads no clock.
package protocol

import "time"

// Version is the protocol version written in channel.open and channel.accept.
const Version = "1.0"

// The nine message types of protocol 1.0. Any other non-empty string is a
// valid application type.
const (
	TypeOpen      = "channel.open"
	TypeAccept    = "channel.accept"
	TypeReject    = "channel.reject"
	TypeClose     = "channel.close"
	TypeHeartbeat = "channel.heartbeat"
	TypeError     = "error"
	TypeRequest   = "request"
	TypeResponse  = "response"
	TypeEvent     = "event"
)

// Envelope is one message of a channel: one JSON object in one text frame.
type Envelope struct {
	// MessageID identifies the message; a fresh UUIDv4 by convention.
	MessageID string
	// ChannelID is chosen by the dialling side and repeated in every message.
	// A Python acceptor writes "error" here on error messages.
	ChannelID string
	// Sequence counts the messages of one sender on one channel from 1. A
	// Python acceptor writes constants.
	Sequence int64
	// Timestamp is the text of meta.timestamp. When it is empty, encoding
	// writes Time instead.
	Timestamp string
	// Time is written as meta.timestamp when Timestamp is empty; the zero Time
	// as null. Decoding never sets it: nobody parses timestamps on receipt.
	Time time.Time
	// Sender and Recipient are agent ids; empty means null or absent.
	Sender    string
	Recipient string
	// ReplyTo is the id of the message answered; empty means null or absent.
	ReplyTo string
	// Actor is the name of the actor at the receiving agent that the message is
	// for; empty means the agent itself. Only peers with capability "pando.1"
	// know it.
	Actor string
	// Timeout is how long the sender waits for the answer to a message with an
	// Actor, in milliseconds; 0 means that it wants none.
	Timeout int64
	// Type is content.type.
	Type string
	// Data is the JSON text of content.data, kept as it came. Empty is
	// written as {}.
	Data []byte
}
