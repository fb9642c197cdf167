package protocol

// State is where a channel stands. The zero value is StateDisconnected.
type State uint8

// The states of a channel. The first four are those of protocol 1.0;
// reconnecting and closed exist in Pando only.
const (
	// StateDisconnected: never connected, or not yet asked to.
	StateDisconnected State = iota
	// StateConnecting: dialling, or waiting for channel.open or channel.accept.
	StateConnecting
	// StateConnected: open for messages.
	StateConnected
	// StateReconnecting: the connection was lost and the channel waits for another.
	StateReconnecting
	// StateClosing: the close is under way; no new messages.
	StateClosing
	// StateClosed: over for good.
	StateClosed
)

// String returns the name of the state in lower case.
func (s State) String() string {
	switch s {
	case StateDisconnected:
		return "disconnected"
	case StateConnecting:
		return "connecting"
	case StateConnected:
		return "connected"
	case StateReconnecting:
		return "reconnecting"
	case StateClosing:
		return "closing"
	case StateClosed:
		return "closed"
	}
	return "unknown"
}
