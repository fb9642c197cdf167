package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"time"
)

// closeTimeout bounds the closing handshakes, all together.
const closeTimeout = 10 * time.Second

var errClosed = errors.New("closed by the server")

// channel is the dialling end of one channel. One goroutine at a time may
// read, and one may write; replies to pings are written by the reader's
// owner with flush.
type channel struct {
	conn net.Conn
	template
	key      uint32
	number   uint64 // of the last message, for its id
	sequence uint64 // of the last message
	in       []byte
	from, to int // what is unread in in
	out      []byte
}

// open dials, upgrades, sends channel.open and waits for channel.accept, which
// must be the first message.
func open(ctx context.Context, address *url.URL, who caller, text string, buffer int) (*channel, error) {
	conn, rest, err := upgrade(ctx, address, who.header)
	if err != nil {
		return nil, err
	}
	c := &channel{
		conn:     conn,
		template: newTemplate(newUUID()[:sharedID], newUUID(), who.sender, who.recipient, text, time.Now()),
		key:      rand.Uint32(),
		in:       make([]byte, max(buffer, len(rest))),
	}
	c.to = copy(c.in, rest)
	if err := c.openChannel(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("opening a channel: %w", err)
	}
	return c, conn.SetDeadline(time.Time{})
}

func (c *channel) openChannel() error {
	c.push(0, contentOpen)
	if err := c.flush(); err != nil {
		return err
	}
	payload, err := c.readText()
	if err != nil {
		return err
	}
	if _, num, err := c.replyTo(payload); err != nil || num != c.number || !hasType(payload, "channel.accept") {
		return fmt.Errorf("first message is not the accept: %.200s", payload)
	}
	return nil
}

// push appends a message to the output and returns the number in its id.
func (c *channel) push(slot int, content string) uint64 {
	c.number++
	c.sequence++
	c.out = c.appendMessage(c.out, c.key, slot, c.number&maxNum, c.sequence, content)
	return c.number & maxNum
}

// flush writes the output in one piece.
func (c *channel) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// fill blocks until there is more to read, and reads it with one system call.
func (c *channel) fill() error {
	if c.from > 0 {
		c.to = copy(c.in, c.in[c.from:c.to])
		c.from = 0
	}
	if c.to == len(c.in) {
		c.in = append(c.in, make([]byte, len(c.in))...)
	}
	n, err := c.conn.Read(c.in[c.to:])
	c.to += n
	if n > 0 {
		return nil
	}
	return err
}

// next returns the next message that has been read whole, or nil. It lasts
// until the next fill. Pings are answered with the next flush.
func (c *channel) next() ([]byte, error) {
	for {
		op, payload, total, err := splitFrame(c.in[c.from:c.to])
		if err != nil || total == 0 {
			return nil, err
		}
		c.from += total
		switch op {
		case opText:
			return payload, nil
		case opPing:
			c.out = appendFrame(c.out, opPong, c.key, payload)
		case opPong:
		case opClose:
			return nil, fmt.Errorf("%w: %q", errClosed, payload)
		default:
			return nil, errFrame
		}
	}
}

// readText blocks until a message has come.
func (c *channel) readText() ([]byte, error) {
	for {
		payload, err := c.next()
		if payload != nil || err != nil {
			return payload, err
		}
		if err := errors.Join(c.flush(), c.fill()); err != nil {
			return nil, err
		}
	}
}

// close does the closing handshake of RFC 6455 §7, until the deadline at most,
// and closes the connection. It drops what comes in between.
func (c *channel) close(deadline time.Time) error {
	defer c.conn.Close()
	if err := c.conn.SetDeadline(deadline); err != nil {
		return err
	}
	c.out = appendFrame(c.out, opClose, c.key, []byte{1000 >> 8, 1000 & 0xff})
	if err := c.flush(); err != nil {
		return err
	}
	for {
		_, err := c.readText()
		switch {
		case err == nil:
		case errors.Is(err, errClosed), errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
	}
}
