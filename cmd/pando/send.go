package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/identity"
	"github.com/pando-agents/pando/transport"
)

// sendFlags is what send can be told.
type sendFlags struct {
	url, kind, data string
	timeout         time.Duration
	json            bool
}

func (a *app) send() *cobra.Command {
	c := &cobra.Command{
		Use: "send TARGET_ID[/ACTOR] --env-file FILE", Short: "Send one message to an agent", Args: cobra.ExactArgs(1),
		Long: "Open a channel to an agent, send one message, to one of its actors if that is named, print the data of the reply and\n" +
			"close the channel. A message of type event has no reply: its id is printed once it has been written. Without --url\n" +
			"the identity registry is asked where the agent is.",
		Example: "  pando send $BOB --url ws://127.0.0.1:9001/ws --env-file alice.env --data '{\"text\":\"hello\"}'",
	}
	f := &sendFlags{}
	c.Flags().StringVar(&f.url, "url", "", "ws or wss URL of the agent, if it has not announced it; plain ws on loopback only")
	file := envFile(c)
	c.Flags().StringVar(&f.kind, "type", pando.Request, "type of the message")
	c.Flags().StringVar(&f.data, "data", "{}", "data of the message, a JSON object")
	c.Flags().DurationVar(&f.timeout, "timeout", 5*time.Second, "time for all of it")
	c.Flags().BoolVar(&f.json, "json", false, "print the reply, or the error, as a JSON object with its metadata")
	return a.does(c, func(c *cobra.Command, args []string) error {
		if err := f.check(); err != nil {
			return err
		}
		credentials, err := load(c, *file)
		if err != nil {
			return err
		}
		err = a.deliver(c.Context(), f, credentials, args[0])
		if err == nil {
			return nil
		}
		code, told := explain(err)
		if f.json {
			if err := a.sayJSON(map[string]any{"error": map[string]string{"code": code, "message": oneLine(err)}}); err != nil {
				return err
			}
		}
		return told
	})
}

func (f *sendFlags) check() error {
	var object map[string]json.RawMessage
	switch {
	case f.url != "" && !strings.HasPrefix(f.url, "ws://") && !strings.HasPrefix(f.url, "wss://"):
		return usagef("--url is a ws or wss URL, not %q", f.url)
	case json.Unmarshal([]byte(f.data), &object) != nil || object == nil:
		return usagef("--data is a JSON object")
	case f.timeout <= 0:
		return usagef("--timeout must be positive")
	case f.kind == "" || f.kind == pando.Response || strings.HasPrefix(f.kind, "channel."):
		return usagef("messages of type %q are not for applications", f.kind)
	}
	return nil
}

// deliver sends the message, on an agent that lives for as long as it takes.
func (a *app) deliver(ctx context.Context, f *sendFlags, credentials pando.Credentials, target string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	agent, err := pando.New(credentials, pando.WithLogger(a.logger(slog.LevelError+1)), pando.WithHeartbeat(0),
		pando.WithTimeouts(pando.Timeouts{Connect: f.timeout}))
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(context.WithoutCancel(ctx)) }()
	defer func() {
		// What was sent is written before the channel closes; that has the
		// same time again.
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), f.timeout)
		defer done()
		err = errors.Join(err, agent.Shutdown(grace), <-ended)
	}()
	target, actor, _ := strings.Cut(target, "/")
	if f.url == "" {
		defer a.waiting(target)()
	} else {
		defer a.waiting(target + " at " + f.url)()
	}
	ch, err := agent.Open(ctx, target, f.url)
	if err != nil {
		return err
	}
	start := time.Now()
	if f.kind == pando.Event && actor == "" {
		id, err := ch.Send(ctx, f.kind, json.RawMessage(f.data))
		if err != nil {
			return err
		}
		if f.json {
			return a.sayJSON(map[string]string{"message_id": id})
		}
		a.say("%s", id)
		return nil
	}
	request := func() (*pando.Message, error) {
		if actor != "" {
			return ch.RequestTo(ctx, actor, f.kind, []byte(f.data))
		}
		return ch.Request(ctx, f.kind, json.RawMessage(f.data))
	}
	reply, err := request()
	if err != nil {
		return err
	}
	if f.json {
		return a.sayJSON(map[string]any{
			"type": reply.Type, "data": reply.Data, "message_id": reply.ID, "reply_to": reply.ReplyTo,
			"peer": reply.Peer, "took_ms": float64(time.Since(start).Microseconds()) / 1000,
		})
	}
	a.say("%s", reply.Data)
	return nil
}

// explain says in one word and in a sentence what kind of failure it was.
func explain(err error) (code string, told error) {
	var remote *pando.RemoteError
	switch {
	case errors.As(err, &remote):
		return "remote_error", fmt.Errorf("the agent answered with an error: %w", err)
	case errors.Is(err, pando.ErrRefused):
		return "refused", fmt.Errorf("refused: %w", cause(err))
	case errors.Is(err, pando.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return "timeout", fmt.Errorf("no answer in time: %w", cause(err))
	case errors.Is(err, pando.ErrUnreachable):
		return "unreachable", fmt.Errorf("unreachable: %w", cause(err))
	case errors.Is(err, pando.ErrOutcomeUnknown):
		return "outcome_unknown", err
	case errors.Is(err, pando.ErrCanceled):
		return "canceled", errors.New("interrupted")
	}
	return "failed", err
}

// cause picks the part of an error that tells what to do about it.
func cause(err error) error {
	var registry *identity.Error
	var handshake *transport.HandshakeError
	var certificate *tls.CertificateVerificationError
	var network *net.OpError
	switch {
	case errors.As(err, &registry) && errors.As(err, &network):
		return fmt.Errorf("the identity registry does not answer: %w", network)
	case errors.As(err, &registry):
		return fmt.Errorf("the identity registry says: %w", errors.Unwrap(registry))
	case errors.As(err, &handshake):
		return fmt.Errorf("the agent answers the handshake with status %d %s", handshake.StatusCode, http.StatusText(handshake.StatusCode))
	case errors.As(err, &certificate):
		return certificate
	case errors.As(err, &network):
		return network
	}
	return err
}
