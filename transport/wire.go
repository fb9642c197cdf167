package transport

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"math/bits"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/lxzan/gws"
)

// wire is the network connection that gws sees. It reads from the connection's
// own buffers, and gws never writes to the socket nor closes it: all it ever
// writes is a close frame, which is its verdict on what it has read.
type wire Conn

func (w *wire) LocalAddr() net.Addr              { return w.net.LocalAddr() }
func (w *wire) RemoteAddr() net.Addr             { return w.net.RemoteAddr() }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
func (w *wire) Close() error                     { return nil }

// Write takes the close frame of gws, or its opening handshake as a client.
func (w *wire) Write(p []byte) (int, error) {
	if w.ws != nil {
		w.in.response = closeCode(p)
	} else if w.client {
		w.in.pending = answerHandshake(p)
	}
	return len(p), nil
}

// closeCode returns the code in a close frame, 0 if there is none.
func closeCode(frame []byte) int {
	if len(frame) < 2 || frame[0] != 0x80|opClose || frame[1]&0x7F < 2 {
		return 0
	}
	if frame[1]&0x80 == 0 {
		return int(binary.BigEndian.Uint16(frame[2:]))
	}
	return int(frame[6]^frame[2])<<8 | int(frame[7]^frame[3])
}

// readerBuffer is the size of gws's own buffer: the least there is, because wire
// has a better one.
const readerBuffer = 16

// readers holds one gws.Upgrader for each power of two that MaxMessage is rounded
// up to. They have no state but their options, which would else be kept once for
// each connection.
var readers sync.Map

// serverReader makes the gws connection of an accepted connection. The opening
// handshake has been done; gws is given one of its own that goes nowhere.
func serverReader(w *wire, maxMessage int) (*gws.Conn, error) {
	limit := 1 << bits.Len(uint(maxMessage-1))
	u, ok := readers.Load(limit)
	if !ok {
		u, _ = readers.LoadOrStore(limit, gws.NewUpgrader(events{}, &gws.ServerOption{
			ParallelGolimit:    1,
			ReadMaxPayloadSize: limit,
			ReadBufferSize:     readerBuffer,
			CheckUtf8Enabled:   true,
			NewSession:         func() gws.SessionStorage { return nil },
		}))
	}
	r := &http.Request{Method: http.MethodGet, Header: http.Header{
		"Connection":            {"Upgrade"},
		"Upgrade":               {"websocket"},
		"Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key":     {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}}
	return u.(*gws.Upgrader).UpgradeFromConn(w, bufio.NewReaderSize(w, readerBuffer), r)
}

// clientReader makes the gws connection of a dialled connection, see serverReader.
func clientReader(w *wire) (*gws.Conn, error) {
	ws, _, err := gws.NewClientFromConn(events{}, &gws.ClientOption{
		Addr:               "ws://peer/",
		HandshakeTimeout:   time.Hour, // nothing in it waits
		ParallelGolimit:    1,
		ReadMaxPayloadSize: w.o.maxMessage(),
		ReadBufferSize:     readerBuffer,
		CheckUtf8Enabled:   true,
		NewSession:         func() gws.SessionStorage { return nil },
	}, w)
	return ws, err
}

// answerHandshake is what a server would answer to gws's opening handshake.
func answerHandshake(request []byte) []byte {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
	if err != nil {
		return nil // gws reports that nothing was answered
	}
	return []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Accept: " + acceptKey(r.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\n")
}

// acceptKey is the answer to a Sec-WebSocket-Key, RFC 6455 §4.2.2.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Read hands on what has been read and checked, and reads more when there is
// nothing left. It is called by the reader goroutine only.
//
// An idle connection waits in here, and the runtime shrinks a stack that a handler
// has made grow only while little of it is in use: the wait has as few frames
// above it as possible.
func (w *wire) Read(p []byte) (int, error) {
	c, in := (*Conn)(w), &w.in
	for len(in.pending) == 0 {
		if err := c.prepare(p); err != nil {
			return 0, err
		}
		switch {
		case in.leftover != nil:
			in.pending, in.leftover = in.leftover, nil
		case c.raw != nil:
			in.failed(c.raw.Read(in.ready))
		default:
			c.readBlocking()
		}
		if n := c.accept(); n > 0 {
			return n, nil
		}
	}
	n := copy(p, in.pending)
	in.pending = in.pending[n:]
	return n, nil
}
