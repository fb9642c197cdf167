package pypeer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

const (
	// defaultTimeout bounds an operation whose context has no deadline.
	defaultTimeout = 30 * time.Second
	// hangGrace is how much longer than the operation's own timeout Go waits
	// for the answer before it takes the Python process for hung.
	hangGrace = 2 * time.Second
)

// Codes of errors that do not come from Python.
const (
	// CodeHung means that the Python process did not even report its timeout; it
	// has been killed then.
	CodeHung = "hung"
	// CodeGone means that the Python process has ended.
	CodeGone = "gone"
)

// Error is what an operation of a Python agent failed with.
type Error struct {
	// Op is the operation.
	Op string
	// Code is the name of the Python exception's class, as in
	// "ConnectionError", or one of the Code constants.
	Code string
	// Message is the text of the exception.
	Message string
}

func (e *Error) Error() string {
	return fmt.Sprintf("python %s: %s: %s", e.Op, e.Code, e.Message)
}

// Is matches an *Error of the same code, and context.DeadlineExceeded for the
// timeout that the operation was given.
func (e *Error) Is(target error) bool {
	if target == context.DeadlineExceeded {
		return e.Code == "TimeoutError"
	}
	var other *Error
	return errors.As(target, &other) && other.Code == e.Code
}

// Message is an envelope as the Python agent received it.
type Message struct {
	Meta struct {
		MessageID string          `json:"message_id"`
		ChannelID string          `json:"channel_id"`
		Sequence  json.RawMessage `json:"sequence"`
		Timestamp string          `json:"timestamp"`
		Sender    string          `json:"sender"`
		Recipient string          `json:"recipient"`
		ReplyTo   string          `json:"reply_to"`
	} `json:"meta"`
	Content struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	} `json:"content"`
}

// JSON is JSON text that is handed to Python as it is, also where it is none by
// the standard (NaN).
type JSON string

// Client is a Python agent that dials. Its methods are safe for concurrent use;
// each ends at the deadline of its context, or after 30 s without one.
type Client struct {
	// Versions are those of Python and the packages, by name.
	Versions map[string]string

	process *process
	writing sync.Mutex

	mu      sync.Mutex
	next    int
	waiting map[int]chan answer
	gone    bool
}

// answer is one line of the script's stdout.
type answer struct {
	ID        int             `json:"id"`
	OK        bool            `json:"ok"`
	Result    json.RawMessage `json:"result"`
	ErrorType string          `json:"error_type"`
	Error     string          `json:"error"`
}

// NewClient starts a Python agent that dials and returns when it takes orders.
func NewClient(t testing.TB, agent Agent) *Client {
	t.Helper()
	p := launch(t, agent, "client.py")
	c := &Client{Versions: p.hello.Versions, process: p, waiting: make(map[int]chan answer)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.read()
	}()
	t.Cleanup(func() {
		p.stop()
		<-read
	})
	return c
}

// Open opens a channel to the agent target at url, or returns the one already
// open: the SDK keeps one per target. heartbeat 0 means none; the SDK's own default
// is 30 s. The result names the channel in all other methods and is its id on the wire.
func (c *Client) Open(ctx context.Context, target, url string, heartbeat time.Duration) (channel string, err error) {
	err = c.call(ctx, "open", map[string]any{"target": target, "url": url, "heartbeat": heartbeat.Seconds()}, &channel)
	return channel, err
}

// Send sends a message by the SDK's wrapper, which adds a timestamp to data that
// has none, and returns the message id. data is JSON, or a value to be marshalled to
// an object. replyTo may be empty.
func (c *Client) Send(ctx context.Context, channel, typ string, data any, replyTo string) (id string, err error) {
	return c.send(ctx, channel, typ, data, replyTo, false)
}

// SendPlain is Send by the SDK's lower level, which leaves data alone.
func (c *Client) SendPlain(ctx context.Context, channel, typ string, data any, replyTo string) (id string, err error) {
	return c.send(ctx, channel, typ, data, replyTo, true)
}

func (c *Client) send(ctx context.Context, channel, typ string, data any, replyTo string, plain bool) (id string, err error) {
	text, err := encode(data)
	if err != nil {
		return "", err
	}
	arguments := map[string]any{"channel": channel, "type": typ, "data": text, "plain": plain}
	if replyTo != "" {
		arguments["reply_to"] = replyTo
	}
	err = c.call(ctx, "send", arguments, &id)
	return id, err
}

// Receive returns the next message of the channel that is not a heartbeat. It
// matches context.DeadlineExceeded when none comes in time.
func (c *Client) Receive(ctx context.Context, channel string) (m Message, err error) {
	err = c.call(ctx, "receive", map[string]any{"channel": channel}, &m)
	return m, err
}

// Request sends a message and returns the one that answers it, dropping what
// arrives in between. Requests of one channel wait for each other.
func (c *Client) Request(ctx context.Context, channel, typ string, data any) (m Message, err error) {
	text, err := encode(data)
	if err != nil {
		return m, err
	}
	err = c.call(ctx, "request", map[string]any{"channel": channel, "type": typ, "data": text}, &m)
	return m, err
}

// RoundTrips makes count requests, one after the other, and returns how long they
// took as measured in the Python process.
func (c *Client) RoundTrips(ctx context.Context, channel string, count int, typ string, data any) (time.Duration, error) {
	text, err := encode(data)
	if err != nil {
		return 0, err
	}
	var seconds float64
	err = c.call(ctx, "round_trips", map[string]any{"channel": channel, "count": count, "type": typ, "data": text}, &seconds)
	return time.Duration(seconds * float64(time.Second)), err
}

// Close closes the channel. The SDK never puts the reason on the wire.
func (c *Client) Close(ctx context.Context, channel, reason string) error {
	return c.call(ctx, "close", map[string]any{"channel": channel, "reason": reason}, nil)
}

// Connected reports whether the SDK takes the channel for open.
func (c *Client) Connected(ctx context.Context, channel string) (open bool, err error) {
	err = c.call(ctx, "connected", map[string]any{"channel": channel}, &open)
	return open, err
}

// Token returns an interaction token for the agent target, from the SDK's cache or
// the identity registry.
func (c *Client) Token(ctx context.Context, target string) (token string, err error) {
	err = c.call(ctx, "token", map[string]any{"target": target}, &token)
	return token, err
}

// Protect returns the headers that the SDK adds to an HTTP request to target.
func (c *Client) Protect(ctx context.Context, method, url, target string) (headers map[string]string, err error) {
	err = c.call(ctx, "protect", map[string]any{"method": method, "url": url, "target": target}, &headers)
	return headers, err
}

// Verify lets the SDK verify an HTTP request made to this agent. Header names are
// lower case.
func (c *Client) Verify(ctx context.Context, method, url string, headers map[string]string) (valid bool, err error) {
	err = c.call(ctx, "verify", map[string]any{"method": method, "url": url, "headers": headers}, &valid)
	return valid, err
}

// Kill ends the process as a crash would (SIGKILL) and returns when it is gone.
// What waits for an answer fails with [CodeGone].
func (c *Client) Kill() { c.process.kill() }

// encode makes the JSON text of data; Python parses it.
func encode(data any) (string, error) {
	if text, ok := data.(JSON); ok {
		return string(text), nil
	}
	text, err := json.Marshal(data)
	if err != nil {
		return "", fmt.Errorf("encoding data for python: %w", err)
	}
	return string(text), nil
}

// call carries out one operation and decodes its result into result, if not nil.
func (c *Client) call(ctx context.Context, op string, arguments map[string]any, result any) error {
	timeout := defaultTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), 0)
	}
	id, reply, err := c.register(op)
	if err != nil {
		return err
	}
	defer c.abandon(id)
	arguments["id"], arguments["op"], arguments["timeout"] = id, op, timeout.Seconds()
	line, err := json.Marshal(arguments)
	if err != nil {
		return fmt.Errorf("encoding a command for python: %w", err)
	}
	if err := c.write(append(line, '\n'), timeout+hangGrace); err != nil {
		return &Error{Op: op, Code: CodeGone, Message: err.Error()}
	}
	// The deadline is Python's to keep; only cancellation cuts the wait short.
	hung := time.NewTimer(timeout + hangGrace)
	defer hung.Stop()
	cancelled := ctx.Done()
	for {
		select {
		case a, ok := <-reply:
			return a.decode(op, ok, result)
		case <-hung.C:
			// It burns a core and will answer nobody.
			_ = c.process.command.Process.Kill()
			return &Error{Op: op, Code: CodeHung, Message: "no answer from the process"}
		case <-cancelled:
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("python %s: %w", op, ctx.Err())
			}
			cancelled = nil
		}
	}
}

// decode turns an answer into a result or an error.
func (a answer) decode(op string, received bool, result any) error {
	if !received {
		return &Error{Op: op, Code: CodeGone, Message: "the process has ended"}
	}
	if !a.OK {
		return &Error{Op: op, Code: a.ErrorType, Message: a.Error}
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(a.Result, result); err != nil {
		return fmt.Errorf("python %s: reading the result: %w", op, err)
	}
	return nil
}

func (c *Client) register(op string) (int, <-chan answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return 0, nil, &Error{Op: op, Code: CodeGone, Message: "the process has ended"}
	}
	c.next++
	reply := make(chan answer, 1)
	c.waiting[c.next] = reply
	return c.next, reply, nil
}

func (c *Client) abandon(id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

func (c *Client) write(line []byte, timeout time.Duration) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.process.stdin.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, err := c.process.stdin.Write(line)
	return err
}

// read hands answers to their waiters until the script closes its stdout.
func (c *Client) read() {
	for {
		line, err := c.process.stdout.ReadBytes('\n')
		if err != nil {
			break
		}
		var a answer
		if json.Unmarshal(line, &a) != nil {
			continue // a print of some library
		}
		c.mu.Lock()
		if reply, ok := c.waiting[a.ID]; ok {
			delete(c.waiting, a.ID)
			reply <- a
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	for id, reply := range c.waiting {
		delete(c.waiting, id)
		close(reply)
	}
}
