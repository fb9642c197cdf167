package pando_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando"
	"github.com/pando-agents/pando/actors/channel"
	"github.com/pando-agents/pando/supervisor"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

const adminToken = "a token that nobody guesses"

// lookAt asks an admin handler as a program on this machine would.
func lookAt(h http.Handler, path string, change ...func(r *http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr, r.Host = "127.0.0.1:50000", "127.0.0.1:9002"
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// inspected asks for the tree.
func inspected(t *testing.T, h http.Handler, query string) pando.Inspection {
	t.Helper()
	w := lookAt(h, "/tree"+query)
	var in pando.Inspection
	if err := json.Unmarshal(w.Body.Bytes(), &in); err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v: %s", w.Code, err, w.Body)
	}
	return in
}

// nodeOf returns a child of the root.
func nodeOf(in *pando.Inspection, id string) pando.InspectedNode {
	for _, n := range in.Tree.Children {
		if n.ID == id {
			return n
		}
	}
	return pando.InspectedNode{}
}

func header(name, value string) func(r *http.Request) {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

func from(remote string) func(r *http.Request) {
	return func(r *http.Request) { r.RemoteAddr = remote }
}

func host(name string) func(r *http.Request) {
	return func(r *http.Request) { r.Host = name }
}

func TestAgentShowsItselfOnlyToItsOwnMachineOrForTheToken(t *testing.T) {
	t.Parallel()
	agent := newWorld(t).newNode("agent", nil)
	bearer := header("Authorization", "Bearer "+adminToken)
	type changes = []func(r *http.Request)
	for name, c := range map[string]struct {
		change      changes
		local, with bool // shown without and with a token set at the agent
	}{
		"local":                        {nil, true, false},
		"local, IPv6":                  {changes{from("[::1]:5"), host("[::1]:9002")}, true, false},
		"local, mapped":                {changes{from("[::ffff:127.0.0.1]:5"), host("localhost")}, true, false},
		"typed into a browser":         {changes{header("Sec-Fetch-Site", "none")}, true, false},
		"from elsewhere":               {changes{from("192.0.2.1:5")}, false, false},
		"from nowhere":                 {changes{from("@")}, false, false},
		"name that resolves to here":   {changes{host("rebound.example:9002")}, false, false},
		"name that looks like here":    {changes{host("127.0.0.1.example")}, false, false},
		"name that begins like here":   {changes{host("localhost.example")}, false, false},
		"no host":                      {changes{host("")}, false, false},
		"web page":                     {changes{header("Origin", "https://example.com")}, false, false},
		"web page without an origin":   {changes{header("Origin", "null")}, false, false},
		"page of the same site":        {changes{header("Sec-Fetch-Site", "same-site")}, false, false},
		"picture on a web page":        {changes{header("Sec-Fetch-Site", "cross-site")}, false, false},
		"proxy here":                   {changes{header("X-Forwarded-For", "127.0.0.1")}, false, false},
		"proxy here that says nothing": {changes{header("x-forwarded-for", "")}, false, false},
		"proxy of RFC 7239":            {changes{header("Forwarded", "for=127.0.0.1")}, false, false},
		"proxy that says its name":     {changes{header("Via", "1.1 proxy")}, false, false},
		"proxy with a real address":    {changes{header("X-Real-IP", "127.0.0.1")}, false, false},
		"token":                        {changes{bearer}, true, true},
		"token from elsewhere":         {changes{from("192.0.2.1:5"), host("agent.example"), bearer}, false, true},
		"token by a proxy":             {changes{header("X-Forwarded-For", "192.0.2.1"), bearer}, false, true},
		"token in lower case":          {changes{from("192.0.2.1:5"), header("Authorization", "bearer "+adminToken)}, false, true},
		"wrong token":                  {changes{from("192.0.2.1:5"), header("Authorization", "Bearer wrong")}, false, false},
		"wrong token from here":        {changes{header("Authorization", "Bearer wrong")}, true, false},
		"beginning of the token":       {changes{from("192.0.2.1:5"), header("Authorization", "Bearer a token")}, false, false},
		"empty token":                  {changes{from("192.0.2.1:5"), header("Authorization", "Bearer ")}, false, false},
		"two tokens":                   {changes{from("192.0.2.1:5"), bearer, bearer}, false, false},
		"token in another scheme":      {changes{from("192.0.2.1:5"), header("Authorization", "Basic "+adminToken)}, false, false},
		"token in the query": {changes{from("192.0.2.1:5"), func(r *http.Request) {
			r.URL.RawQuery = "token=" + adminToken
		}}, false, false},
	} {
		for token, shown := range map[string]bool{"": c.local, adminToken: c.with} {
			w := lookAt(agent.Admin(token), "/tree", c.change...)
			refused := http.StatusForbidden
			if token != "" {
				refused = http.StatusUnauthorized
			}
			want := map[bool]int{true: http.StatusOK, false: refused}[shown]
			if w.Code != want {
				t.Errorf("%s, token %q: status %d, want %d", name, token, w.Code, want)
			}
			if !shown && strings.Contains(w.Body.String(), agent.ID()) {
				t.Errorf("%s, token %q: it tells %s", name, token, w.Body)
			}
			if (w.Code == http.StatusUnauthorized) != strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s: status %d with the challenge %q", name, w.Code, w.Header().Get("WWW-Authenticate"))
			}
		}
	}
}

func TestAdminHandlerIsOffUnlessMountedAndOnlyReads(t *testing.T) {
	t.Parallel()
	agent := newWorld(t).newNode("agent", nil)
	for _, path := range []string{"/tree", "/admin/tree", "/events"} {
		if w := lookAt(agent, path); w.Code != http.StatusUpgradeRequired {
			t.Errorf("the agent itself answers %s with %d", path, w.Code)
		}
	}
	h := agent.Admin("")
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions} {
		w := lookAt(h, "/tree", func(r *http.Request) { r.Method = method })
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodGet {
			t.Errorf("%s: status %d", method, w.Code)
		}
	}
	for _, path := range []string{"/", "/stop", "/tree/x"} {
		if w := lookAt(h, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	for _, query := range []string{"?limit=x", "?limit=-1"} {
		if w := lookAt(h, "/tree"+query); w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, w.Code)
		}
	}
	if w := lookAt(h, "/tree"); w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", w.Header())
	}
}

func TestInspectionShowsTheLiveTree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var crash atomic.Pointer[string] // the id of the channel whose actor is to crash
	agent := w.newNode("agent", func(n *node) {
		n.Handle("broken", func(context.Context, *pando.Message) (any, error) { panic("a handler is broken") })
	}, pando.WithFaults(func(ch *pando.Channel, point pando.FaultPoint) {
		id := crash.Load()
		if point == channel.FaultReceive && id != nil && *id == ch.ID() && crash.CompareAndSwap(id, nil) {
			panic("crashed on purpose")
		}
	}))
	ctx := within(t, patience)
	peer := w.friend(agent, "peer", nil)
	calm, troubled := peer.open(t, agent.at("?secret=hidden")), peer.open(t, agent)
	id := troubled.ID()
	crash.Store(&id)
	if _, err := troubled.Request(ctx, "broken", nil); err == nil {
		t.Error("a broken handler answers")
	}
	if err := agent.CrashRegistry(); err != nil {
		t.Fatal(err)
	}
	var in pando.Inspection
	h := agent.Admin("")
	eventually(t, "all has happened", func() bool {
		in = inspected(t, h, "?stacks=1")
		return nodeOf(&in, "registry").Generation == 2 && len(in.Channels.List) == 2 &&
			in.Channels.List[0].Restarts == 1 && in.Channels.List[0].Panics == 1
	})
	if in.Schema != 1 || in.AgentID != agent.ID() || in.Version == "" || !in.Accepting || in.UptimeMS < 0 {
		t.Errorf("the agent is %+v", in)
	}
	channels, registry := nodeOf(&in, "channels"), nodeOf(&in, "registry")
	if in.Tree.State != "running" || in.Tree.Strategy != "one_for_one" || in.Tree.ChildRestarts != 1 {
		t.Errorf("the root is %+v", in.Tree)
	}
	if channels.Path != "agent/channels" || channels.Kind != "supervisor" || channels.Strategy != "dynamic" ||
		channels.ChildrenTotal != 2 || channels.ChildRestarts != 1 || channels.Children != nil {
		t.Errorf("the channels are %+v", channels)
	}
	if registry.Kind != "actor" || registry.Restarts != 1 || registry.Mailbox == nil || registry.LastFailure == nil ||
		!strings.Contains(registry.LastFailure.Reason, "told to crash") || !strings.Contains(registry.LastFailure.Stack, "registrar") {
		t.Errorf("the registry is %+v", registry)
	}
	if in.Channels.Total != 2 || in.Channels.ByState["connected"] != 2 || in.Handshakes["accepted"] != 2 {
		t.Errorf("the agent has %+v, %v", in.Channels, in.Handshakes)
	}
	crashed := in.Channels.List[0]
	if crashed.Peer != peer.ID() || crashed.ID != troubled.ID() || in.Channels.List[1].ID != calm.ID() || crashed.Status != "connected" ||
		crashed.Actor == nil || crashed.Actor.Generation != 2 || crashed.Actor.Mailbox == nil || crashed.Actor.LastFailure == nil {
		t.Errorf("the channel whose actor has crashed is %+v", crashed)
	}
	in = inspected(t, h, "")
	if other := nodeOf(&in, "registry"); other.LastFailure == nil || other.LastFailure.Stack != "" {
		t.Errorf("stacks are shown without being asked for: %+v", other.LastFailure)
	}
	theirs := peer.Inspect(pando.InspectOptions{}).Channels.List
	if len(theirs) != 2 || theirs[0].URL != agent.url+"?" || theirs[1].URL != agent.url {
		t.Errorf("the other end shows %+v", theirs)
	}
}

func TestSchemaOfInspectionsIsAsDocumented(t *testing.T) {
	t.Parallel()
	var lines []string
	describe(reflect.TypeFor[pando.Inspection](), "", nil, &lines)
	describe(reflect.TypeFor[pando.InspectedEvent](), "event", nil, &lines)
	got := strings.Join(lines, "\n") + "\n"
	name := filepath.Join("testdata", fmt.Sprintf("inspection-%d.txt", pando.InspectionSchema))
	if *rewrite {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil || got != string(want) {
		t.Errorf("the schema is not that of %s (%v): run with -rewrite, read the difference, and raise the number if a field has gone:\n%s", name, err, got)
	}
}

// describe lists the fields that a type has in JSON.
func describe(typ reflect.Type, path string, above []reflect.Type, lines *[]string) {
	switch {
	case typ == reflect.TypeFor[time.Time]():
		*lines = append(*lines, path+" time")
	case slices.Contains(above, typ):
		*lines = append(*lines, path+" as above")
	case typ.Kind() == reflect.Pointer:
		describe(typ.Elem(), path, above, lines)
	case typ.Kind() == reflect.Slice:
		describe(typ.Elem(), path+"[]", above, lines)
	case typ.Kind() == reflect.Map:
		describe(typ.Elem(), path+"{}", above, lines)
	case typ.Kind() == reflect.Struct:
		for f := range typ.Fields() {
			name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
			below := strings.TrimPrefix(path+"."+name, ".")
			if rest == "omitempty" {
				below += "?"
			}
			switch {
			case f.Anonymous:
				describe(f.Type, path, append(above, typ), lines)
			case name != "-":
				describe(f.Type, below, append(above, typ), lines)
			}
		}
	default:
		*lines = append(*lines, path+" "+typ.Kind().String())
	}
}

// stream reads events from an admin handler that is served at addr.
type stream struct {
	conn net.Conn
	in   *bufio.Scanner
}

func openStream(t *testing.T, dial func(context.Context, string, string) (net.Conn, error), addr string) *stream {
	t.Helper()
	conn, err := dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := fmt.Fprintf(conn, "GET /events HTTP/1.0\r\nHost: %s\r\n\r\n", addr); err != nil {
		t.Fatal(err)
	}
	return &stream{conn, bufio.NewScanner(conn)}
}

// line returns the next line of the answer that is not empty.
func (s *stream) line() (string, bool) {
	for s.in.Scan() {
		if l := strings.TrimSpace(s.in.Text()); l != "" {
			return l, true
		}
	}
	return "", false
}

// event returns the next event, skipping the header of the answer.
func (s *stream) event() (e pando.InspectedEvent, ok bool) {
	for {
		l, ok := s.line()
		if !ok {
			return e, false
		}
		if json.Unmarshal([]byte(l), &e) == nil {
			return e, true
		}
	}
}

// show serves the admin handler of a node until the test ends.
func (w *world) show(n *node) (addr string) {
	ln := w.listen(n.host)
	srv := &http.Server{Handler: n.Admin("")}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(ln) }()
	w.t.Cleanup(func() { _ = srv.Close(); <-served })
	return ln.Addr().String()
}

func TestEventsAreStreamedUntilTheAgentEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.newNode("agent", nil)
	s := openStream(t, w.dial(agent.host), w.show(agent))
	if l, _ := s.line(); !strings.Contains(l, "200 OK") {
		t.Fatalf("the answer is %s", l)
	}
	for l, ok := s.line(); !strings.Contains(l, "ndjson"); l, ok = s.line() { // the header comes when the stream has begun
		if !ok {
			t.Fatal("no header")
		}
	}
	if err := agent.CrashRegistry(); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []supervisor.Kind{supervisor.Failed, supervisor.Started} {
		e, ok := s.event()
		if !ok || e.Kind != kind.String() || e.Path != "agent/registry" || e.Time.IsZero() {
			t.Errorf("event %+v, want %v", e, kind)
		}
	}
	agent.cancel()
	for {
		if _, ok := s.event(); !ok {
			break
		}
	}
	if err := s.in.Err(); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
}

func TestNoMoreThanSomeLookAtAnAgentAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	agent := w.newNode("agent", nil)
	addr := w.show(agent)
	const most = 16
	streams := make([]*stream, most)
	for i := range streams {
		streams[i] = openStream(t, w.dial(agent.host), addr)
		if l, _ := streams[i].line(); !strings.Contains(l, "200 OK") {
			t.Fatalf("stream %d: %s", i, l)
		}
	}
	resp, err := http.Get("http://" + addr + "/events")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %s", resp.Status)
	}
	_ = streams[0].conn.Close()
	eventually(t, "there is room again", func() bool {
		l, _ := openStream(t, w.dial(agent.host), addr).line()
		return strings.Contains(l, "200 OK")
	})
}

func TestReaderThatIsSlowLosesEventsIsToldAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		agent := w.newNode("agent", nil)
		addr := w.show(agent)
		late, never := openStream(w.t, w.dial("127.0.2.1"), addr), openStream(w.t, w.dial("127.0.2.2"), addr)
		if l, _ := late.line(); !strings.Contains(l, "200 OK") {
			t.Fatal(l)
		}
		peer := w.friend(agent, "peer", nil)
		openings := 0
		happen := func() {
			openings++
			ch := peer.open(w.t, agent.at(fmt.Sprint("?", openings)))
			if err := ch.Close(within(w.t, patience), "enough"); err != nil {
				w.t.Fatal(err)
			}
		}
		begin := time.Now()
		for range 1000 { // makes more events than fit into buffers
			happen()
		}
		if took := time.Since(begin); took > time.Second {
			w.t.Errorf("1000 channels took %v: somebody waited", took)
		}
		_ = late.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		for got := 0; ; got++ {
			e, ok := late.event()
			if !ok {
				w.t.Fatalf("nobody has told what was missed after %d events: %v", got, late.in.Err())
			}
			if e.Missed > 0 {
				break
			}
			if got%50 == 0 { // the next event tells, once there is room for it
				happen()
			}
		}
		time.Sleep(adminPatience) // in virtual time
		_ = never.conn.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := io.Copy(io.Discard, never.conn); n == 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			w.t.Errorf("the one who never read is told %d bytes and not cut off: %v", n, err)
		}
	})
}

// adminPatience is longer than an admin handler waits for a reader.
const adminPatience = 11 * time.Second

func TestTreeOfTenThousandChannelsStaysSmallAndTellsHowManyThereAre(t *testing.T) {
	t.Parallel()
	inVirtualTime(t, func(w *world) {
		const all = 10_000
		agent := w.newNode("agent", nil, pando.WithAdmission(pando.Admission{PerPeer: all}), pando.WithNetwork(pando.Network{
			Registry: w.reg.Client,
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		}))
		peer := w.friend(agent, "peer", nil)
		ctx, cancel := context.WithCancel(w.t.Context())
		defer cancel()
		for i := range all {
			go func() { _, _ = agent.Open(ctx, peer.ID(), fmt.Sprintf("%s?%d", peer.url, i)) }()
		}
		synctest.Wait()
		h := agent.Admin("")
		for query, want := range map[string]int{"": 50, "?limit=0": 0, "?limit=7": 7, "?limit=999999": all} {
			body := lookAt(h, "/tree"+query).Body
			size := body.Len()
			var in pando.Inspection
			if err := json.NewDecoder(body).Decode(&in); err != nil {
				w.t.Fatal(err)
			}
			if in.Channels.Total != all || in.Channels.ByState["connecting"] != all || len(in.Channels.List) != want {
				w.t.Errorf("%s: %d of %d channels, %v", query, len(in.Channels.List), in.Channels.Total, in.Channels.ByState)
			}
			if bound := 4<<10 + 1<<10*want; size > bound {
				w.t.Errorf("%s: %d bytes, want at most %d", query, size, bound)
			}
			if node := nodeOf(&in, "channels"); node.ChildrenTotal != all || len(node.Children) != 0 {
				w.t.Errorf("%s: the tree has %d of %d", query, len(node.Children), node.ChildrenTotal)
			}
		}
	})
}
