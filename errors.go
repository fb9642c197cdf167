package pando

import (
	"errors"

	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/registry"
)

// Error is what the calls of channels return: a stable code, what was being
// done, and with whom.
type Error = channel.Error

// RemoteError is an error message of the peer. Returned by a handler, it is what
// the requester is told.
type RemoteError = channel.RemoteError

// Errors to compare with under errors.Is.
var (
	// ErrTimeout: no reply before the deadline; the request may have been
	// carried out.
	ErrTimeout = channel.ErrTimeout
	// ErrCanceled: the caller's context was cancelled.
	ErrCanceled = channel.ErrCanceled
	// ErrOutcomeUnknown: the connection was lost after a request was written;
	// it may or may not have been carried out.
	ErrOutcomeUnknown = channel.ErrOutcomeUnknown
	// ErrClosed: the channel is closed.
	ErrClosed = channel.ErrClosed
	// ErrLost: the channel failed and cannot go on.
	ErrLost = channel.ErrLost
	// ErrRefused: the peer, or the identity registry, refused.
	ErrRefused = channel.ErrRefused
	// ErrUnreachable: no connection could be made.
	ErrUnreachable = channel.ErrUnreachable
	// ErrTooLarge: the message does not fit into a frame.
	ErrTooLarge = channel.ErrTooLarge
	// ErrTooManyPending: too many requests wait for replies.
	ErrTooManyPending = channel.ErrTooManyPending
	// ErrInvalid: the message cannot be sent.
	ErrInvalid = channel.ErrInvalid
	// ErrNoInbox: Receive on a channel that was opened without an inbox.
	ErrNoInbox = channel.ErrNoInbox
	// ErrLimit: the agent or the peer has as many channels as allowed.
	ErrLimit = registry.ErrLimit
	// ErrNotFound: there is no such channel.
	ErrNotFound = registry.ErrNotFound
	// ErrShuttingDown: the agent takes no new work.
	ErrShuttingDown = errors.New("agent is shutting down")
	// ErrRan: Run was called before. An agent runs once.
	ErrRan = errors.New("agent has been run before")
)
