package load_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/lxzan/gws"
)

// raw upgrades by hand and leaves the connection to talk; it is closed after.
func raw(talk func(net.Conn, *bufio.ReadWriter)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
			base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n")
		if rw.Flush() == nil {
			talk(conn, rw)
		}
	})
}

// readClientFrame returns the unmasked payload of one frame of up to 64 KiB.
func readClientFrame(r io.Reader) string {
	head := make([]byte, 2)
	if _, err := io.ReadFull(r, head); err != nil {
		return err.Error()
	}
	size := int(head[1] & 0x7f)
	if size == 126 {
		if _, err := io.ReadFull(r, head); err != nil {
			return err.Error()
		}
		size = int(binary.BigEndian.Uint16(head))
	}
	body := make([]byte, 4+size)
	if _, err := io.ReadFull(r, body); err != nil {
		return err.Error()
	}
	for i := range body[4:] {
		body[4+i] ^= body[i%4]
	}
	return string(body[4:])
}

// relay answers like the floor server, but passes responses through rewrite.
func relay(t *testing.T, rewrite func(string) string) http.Handler {
	t.Helper()
	upgrader := gws.NewUpgrader(&rewriter{rewrite: rewrite}, nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r)
		if err != nil {
			t.Errorf("upgrading: %v", err)
			return
		}
		go socket.ReadLoop()
	})
}

type rewriter struct {
	gws.BuiltinEventHandler
	rewrite func(string) string
}

func (h *rewriter) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	in := string(message.Bytes())
	_, id, _ := strings.Cut(in, `"message_id":"`)
	id = id[:36]
	if strings.Contains(in, "channel.open") {
		_ = socket.WriteString(`{"meta":{"reply_to":"` + id + `"},"content":{"type":"channel.accept","data":{}}}`)
		return
	}
	_, data, _ := strings.Cut(in, `"data":`)
	_ = socket.WriteString(h.rewrite(`{"meta":{"reply_to":"` + id + `"},"content":{"type":"response","data":` + data))
}
