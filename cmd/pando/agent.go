package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pando-agents/pando"
)

// agentFlags is what agent serve can be told.
type agentFlags struct {
	endpoint
	path, envFile      string
	admin              adminFlags
	heartbeat          time.Duration
	requireProof, json bool
	announce           bool
	publicURLs         []string
}

const healthPath = "/healthz"

func (a *app) agentServe() *cobra.Command {
	c := &cobra.Command{
		Use: "serve --addr HOST:PORT --path /ws --env-file FILE", Short: "Run an agent that answers", Args: cobra.NoArgs,
		Long: "Run an agent with the standard handler, which sends the text of each request back, until it gets SIGINT or\n" +
			"SIGTERM; then it finishes what it has begun. Its health is at " + healthPath + ".\n\n" +
			"Without TLS it listens on a loopback address, or elsewhere if a wss --public-url says that a proxy in front\n" +
			"of it speaks TLS.",
		Example: "  pando agent serve --addr 127.0.0.1:9001 --path /ws --env-file bob.env",
	}
	f := &agentFlags{}
	c.Flags().StringVar(&f.addr, "addr", "127.0.0.1:9001", "address to listen on")
	c.Flags().StringVar(&f.path, "path", "/ws", "path of the WebSocket endpoint")
	file := envFile(c)
	c.Flags().DurationVar(&f.heartbeat, "heartbeat", 30*time.Second, "interval of heartbeats on channels that the agent opens; 0 for none")
	c.Flags().BoolVar(&f.requireProof, "require-proof", false, "refuse peers that do not prove their key; Python agents cannot")
	c.Flags().BoolVar(&f.announce, "announce", false, "tell the identity registry the URL, so that others find the agent by its id")
	c.Flags().StringArrayVar(&f.publicURLs, "public-url", nil, "ws or wss URL that peers dial; may be repeated")
	c.Flags().StringVar(&f.cert, "tls-cert", "", "file of the certificate chain")
	c.Flags().StringVar(&f.key, "tls-key", "", "file of the certificate's key")
	f.admin.add(c)
	c.Flags().BoolVar(&f.json, "json", false, "print the id and the URLs as JSON")
	return a.does(c, func(c *cobra.Command, _ []string) error {
		f.envFile = *file
		if err := f.check(); err != nil {
			return err
		}
		credentials, err := load(c, f.envFile)
		if err != nil {
			return err
		}
		return a.serveAgent(c.Context(), f, credentials)
	})
}

func (f *agentFlags) check() error {
	proxied := false
	for _, u := range f.publicURLs {
		proxied = proxied || strings.HasPrefix(u, "wss://")
	}
	if err := f.endpoint.check(proxied, "give --tls-cert and --tls-key, or the wss --public-url of a proxy that speaks TLS"); err != nil {
		return err
	}
	switch {
	case !strings.HasPrefix(f.path, "/") || strings.ContainsAny(f.path, " {}?#") || f.path == healthPath:
		return usagef("--path %q cannot be served", f.path)
	case f.heartbeat < 0:
		return usagef("--heartbeat must not be negative")
	case f.everywhere() && len(f.publicURLs) == 0:
		return usagef("--public-url is needed with --addr %s: peers prove themselves for the URL that they dial", f.addr)
	}
	return f.admin.check(f.endpoint)
}

func (a *app) serveAgent(ctx context.Context, f *agentFlags, credentials pando.Credentials) error {
	log := a.logger(slog.LevelInfo)
	conf, err := f.tls()
	if err != nil {
		return err
	}
	ln, err := f.listen(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }() // closed already after Serve
	web, ws := "http", "ws"
	if conf != nil {
		web, ws = "https", "wss"
	}
	url := f.base(ws, ln) + f.path
	if len(f.publicURLs) == 0 && conf != nil {
		f.publicURLs = []string{url}
	}
	opts := []pando.Option{pando.WithLogger(log), pando.WithHeartbeat(f.heartbeat), pando.WithPublicURLs(f.publicURLs...)}
	if f.requireProof {
		opts = append(opts, pando.WithRequireProof())
	}
	if f.announce {
		where := url
		if len(f.publicURLs) > 0 {
			where = f.publicURLs[0]
		}
		opts = append(opts, pando.WithAnnouncement(pando.Announcement{Endpoint: &where}))
	}
	agent, err := pando.New(credentials, opts...)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(f.path, agent)
	mux.HandleFunc("GET "+healthPath, agent.Healthz)
	servers := []listening{{newServer(mux, conf, log), ln}}
	admin, err := f.admin.listen(ctx, agent, log)
	if err != nil {
		return err
	}
	if admin != nil {
		defer func() { _ = admin.ln.Close() }()
		servers = append(servers, *admin)
	}
	if len(f.publicURLs) > 0 {
		url = f.publicURLs[0]
	}
	say := func() error {
		return a.sayAgent(f, agent.ID(), url, f.base(web, ln)+healthPath, f.admin.url(admin))
	}
	return serve(ctx, agent, say, servers...)
}

func (a *app) sayAgent(f *agentFlags, id, url, health, admin string) error {
	if f.json {
		told := map[string]string{"agent_id": id, "url": url, "health": health}
		if admin != "" {
			told["admin"] = admin
		}
		return a.sayJSON(told)
	}
	a.say("agent: %s", id)
	a.say("url: %s", url)
	a.say("health: %s", health)
	if admin != "" {
		a.say("admin: %s", admin)
	}
	return nil
}
