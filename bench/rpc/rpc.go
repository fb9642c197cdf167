// Package rpc is request and response over one WebSocket as a Go programmer would
// write it by hand, in the way of net/rpc: gws as it comes, encoding/json, and an
// id in each message. It knows no identities, deadlines on the server, limits or
// restarts.
package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/lxzan/gws"

	"github.com/pando-agents/pando/bench/ask"
)

type request struct {
	ID     uint64   `json:"id"`
	Method string   `json:"method"`
	Params ask.Text `json:"params"`
}

type response struct {
	ID     uint64   `json:"id"`
	Result ask.Text `json:"result"`
	Error  string   `json:"error,omitempty"`
}

// Method answers one request.
type Method func(ask.Text) (ask.Text, error)

// Serve answers on ln until ctx is done.
func Serve(ctx context.Context, ln net.Listener, methods map[string]Method) error {
	upgrader := gws.NewUpgrader(&server{methods: methods}, nil)
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if socket, err := upgrader.Upgrade(w, r); err == nil {
			go socket.ReadLoop()
		}
	})}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type server struct {
	gws.BuiltinEventHandler
	methods map[string]Method
}

// OnMessage answers on the goroutine that reads, which is the cheapest way.
func (s *server) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	var in request
	if err := json.Unmarshal(message.Bytes(), &in); err != nil {
		socket.WriteClose(1008, []byte("bad message"))
		return
	}
	out := response{ID: in.ID}
	if method := s.methods[in.Method]; method == nil {
		out.Error = "no method " + in.Method
	} else if result, err := method(in.Params); err != nil {
		out.Error = err.Error()
	} else {
		out.Result = result
	}
	if b, err := json.Marshal(&out); err == nil {
		_ = socket.WriteMessage(gws.OpcodeText, b)
	}
}

// Client is one connection. It is safe for concurrent use.
type Client struct {
	gws.BuiltinEventHandler
	socket *gws.Conn

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan response // nil when the connection is gone
}

// Dial connects to a server.
func Dial(url string) (*Client, error) {
	c := &Client{waiting: make(map[uint64]chan response)}
	socket, _, err := gws.NewClient(c, &gws.ClientOption{Addr: url})
	if err != nil {
		return nil, err
	}
	c.socket = socket
	go socket.ReadLoop()
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() { c.socket.WriteClose(1000, nil) }

var errGone = errors.New("rpc: the connection is gone")

// Call asks and waits for the answer until ctx ends.
func (c *Client) Call(ctx context.Context, method string, params ask.Text) (ask.Text, error) {
	answer := make(chan response, 1)
	c.mu.Lock()
	if c.waiting == nil {
		c.mu.Unlock()
		return ask.Text{}, errGone
	}
	c.last++
	id := c.last
	c.waiting[id] = answer
	c.mu.Unlock()
	b, err := json.Marshal(&request{id, method, params})
	if err == nil {
		err = c.socket.WriteMessage(gws.OpcodeText, b)
	}
	if err != nil {
		c.take(id)
		return ask.Text{}, err
	}
	select {
	case r, ok := <-answer:
		switch {
		case !ok:
			return ask.Text{}, errGone
		case r.Error != "":
			return ask.Text{}, errors.New(r.Error)
		}
		return r.Result, nil
	case <-ctx.Done():
		c.take(id)
		return ask.Text{}, ctx.Err()
	}
}

func (c *Client) take(id uint64) chan response {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer := c.waiting[id]
	delete(c.waiting, id)
	return answer
}

// OnMessage gives an answer to its caller.
func (c *Client) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer message.Close()
	var r response
	if json.Unmarshal(message.Bytes(), &r) != nil {
		return
	}
	if answer := c.take(r.ID); answer != nil {
		answer <- r
	}
}

// OnClose lets all callers go.
func (c *Client) OnClose(*gws.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, answer := range c.waiting {
		close(answer)
	}
	c.waiting = nil
}
