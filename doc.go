// Package pando lets agents talk to each other over authenticated, supervised
// channels.
//
// An Agent has an identity, registered with an identity registry, and handlers
// for the messages that other agents send. It is an http.Handler for its
// WebSocket endpoint, so that it mounts in any mux, and a service: Run runs it
// until its context ends, Shutdown drains it.
//
//	agent, err := pando.New(credentials)
//	agent.Handle("request", func(ctx context.Context, m *pando.Message) (any, error) {
//		return map[string]string{"text": "hello"}, nil
//	})
//	http.Handle("/ws", agent)
//	go agent.Run(ctx)
//
//	ch, err := agent.Open(ctx, peerID, "wss://peer.example/ws")
//	reply, err := ch.Request(ctx, "request", map[string]string{"text": "hi"})
//
// Each channel is an actor under a supervisor. It owns its connection, its
// heartbeat timer and its queue of messages for handlers. A handler that panics
// costs its own message; a channel actor that crashes is restarted on the same
// connection; a connection that breaks is made again by the side that dialled.
// The agent lives through all of it. What exactly is guaranteed is in
// docs/semantics.md.
//
// The peer may be an unmodified Python agent with the Authed SDK: the wire
// protocol and the identity registry's API are compatible in both directions.
package pando
