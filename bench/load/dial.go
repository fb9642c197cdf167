package load

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// openTimeout bounds dialling, the upgrade and the wait for channel.accept,
// each channel on its own.
const openTimeout = 30 * time.Second

// handshakeKey is the Sec-WebSocket-Key of every request: it protects from
// caching proxies only (RFC 6455 §10.8), of which there are none here.
const handshakeKey = "cGFuZG8gYmVuY2htYXJrIQ=="

// upgrade dials a ws:// address and does the opening handshake of RFC 6455 §4.
// It returns the connection and the frames that came with the answer.
func upgrade(ctx context.Context, address *url.URL, header http.Header) (net.Conn, []byte, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address.Host)
	if err != nil {
		return nil, nil, err
	}
	rest, err := handshake(conn, address, header)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, rest, nil
}

func handshake(conn net.Conn, address *url.URL, header http.Header) ([]byte, error) {
	if err := conn.SetDeadline(time.Now().Add(openTimeout)); err != nil {
		return nil, err
	}
	var request bytes.Buffer
	fmt.Fprintf(&request, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n", address.RequestURI(), address.Host, handshakeKey)
	if err := header.Write(&request); err != nil {
		return nil, err
	}
	request.WriteString("\r\n")
	if _, err := conn.Write(request.Bytes()); err != nil {
		return nil, fmt.Errorf("asking for the upgrade: %w", err)
	}
	head := make([]byte, 0, 1024)
	for {
		n, err := conn.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		if end := bytes.Index(head, []byte("\r\n\r\n")); end >= 0 {
			return head[end+4:], checkAnswer(head[:end+2])
		}
		if err != nil {
			return nil, fmt.Errorf("reading the answer to the upgrade: %w", err)
		}
		if len(head) == cap(head) {
			if cap(head) >= 16<<10 {
				return nil, errors.New("the answer to the upgrade has no end")
			}
			head = append(make([]byte, 0, 2*cap(head)), head...)
		}
	}
}

func checkAnswer(head []byte) error {
	status, _, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 101 ")) {
		return fmt.Errorf("upgrade refused: %s", status)
	}
	sum := sha1.Sum([]byte(handshakeKey + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if !bytes.Contains(head, []byte(": "+base64.StdEncoding.EncodeToString(sum[:])+"\r\n")) {
		return errors.New("upgrade answered without a valid Sec-WebSocket-Accept")
	}
	return nil
}

// newUUID returns a fresh UUIDv4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
