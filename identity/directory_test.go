package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// found makes the registry answer every question with a record whose endpoint
// is the text that endpoint returns then; none is 404.
func found(g *testRegistry, endpoint func() string) {
	g.before = func(w http.ResponseWriter, r *http.Request) bool {
		id := strings.TrimPrefix(r.URL.Path, "/base/directory/")
		e := endpoint()
		if e == "none" {
			return answer(404, `{"detail":"agent not found"}`)(w, r)
		}
		return answer(200, fmt.Sprintf(`{"agent_id":%q,"name":"n","endpoint":%q,"description":"d","capabilities":["c"]}`, id, e))(w, r)
	}
}

// directoryRig is a directory in virtual time.
type directoryRig struct {
	t        *testing.T
	g        *testRegistry
	d        *Directory
	log      *bytes.Buffer
	mu       sync.Mutex
	endpoint string
}

func newDirectoryRig(t *testing.T, change func(*ClientOptions)) *directoryRig {
	t.Helper()
	r := &directoryRig{t: t, g: newRegistry(time.Now), log: &bytes.Buffer{}, endpoint: "wss://one.example/ws"}
	found(r.g, func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.endpoint
	})
	c := r.g.client(t, testAgent, ed25519Key(), func(o *ClientOptions) {
		o.AfterFunc = nil
		if change != nil {
			change(o)
		}
	})
	d, err := NewDirectory(DirectoryOptions{Client: c, Logger: slog.New(slog.NewTextHandler(r.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	r.d = d
	return r
}

func (r *directoryRig) set(endpoint string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endpoint = endpoint
}

// want resolves the target and checks the endpoint, or the kind of the error,
// and how often the registry has been asked by then.
func (r *directoryRig) want(endpoint string, kind error, asked int) {
	r.t.Helper()
	got, err := r.d.Resolve(r.t.Context(), testTarget)
	if got.Endpoint != endpoint || !errors.Is(err, kind) || kind == nil && err != nil {
		r.t.Errorf("resolved %+v, %v, want %q, %v", got, err, endpoint, kind)
	}
	if n := r.g.count("/directory/" + testTarget); n != asked {
		r.t.Errorf("asked %d times, want %d", n, asked)
	}
}

// down makes the registry answer nothing but this status.
func (r *directoryRig) down(status int) (up func()) {
	before := r.g.before
	r.g.set(func() { r.g.before = answer(status, `{"detail":"x"}`) })
	return func() { r.g.set(func() { r.g.before = before }) }
}

func TestRecordIsUsedForAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newDirectoryRig(t, nil)
		got, err := r.d.Resolve(t.Context(), testTarget)
		want := Record{AgentID: testTarget, Name: "n", Endpoint: "wss://one.example/ws", Description: "d", Capabilities: []string{"c"}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v", got, err)
		}
		r.set("wss://two.example/ws")
		time.Sleep(time.Minute - 1)
		r.want("wss://one.example/ws", nil, 1)
		time.Sleep(1 * time.Nanosecond)
		r.want("wss://two.example/ws", nil, 2)
	})
}

func TestMissingAgentAndMissingEndpointAreBelievedForFiveSeconds(t *testing.T) {
	t.Parallel()
	for endpoint, kind := range map[string]error{"none": ErrNotFound, "": nil} {
		synctest.Test(t, func(t *testing.T) {
			r := newDirectoryRig(t, nil)
			r.set(endpoint)
			r.want("", kind, 1)
			r.set("wss://one.example/ws")
			time.Sleep(5*time.Second - 1)
			r.want("", kind, 1)
			time.Sleep(1 * time.Nanosecond)
			r.want("wss://one.example/ws", nil, 2)
		})
	}
}

func TestFailureMakesTheDirectoryAskAnewOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newDirectoryRig(t, nil)
		r.d.Failed(testTarget) // not known yet
		r.want("wss://one.example/ws", nil, 1)
		r.set("wss://two.example/ws")
		r.d.Failed(testTarget)
		r.want("wss://one.example/ws", nil, 1) // the answer is not a second old
		time.Sleep(time.Second)
		r.want("wss://two.example/ws", nil, 2)
		time.Sleep(30 * time.Second)
		r.d.Failed(testTarget)
		r.want("wss://two.example/ws", nil, 3)
		for range 10 { // whoever dials in a loop
			r.d.Failed(testTarget)
			r.want("wss://two.example/ws", nil, 3)
		}
		time.Sleep(time.Second)
		r.want("wss://two.example/ws", nil, 4)
		time.Sleep(time.Minute - 1)
		r.want("wss://two.example/ws", nil, 4)
	})
}

func TestOldRecordIsUsedWhileTheRegistryIsDownForAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newDirectoryRig(t, func(o *ClientOptions) { o.Rand = func() float64 { return 0 } })
		r.want("wss://one.example/ws", nil, 1)
		up := r.down(503)
		r.want("wss://one.example/ws", nil, 1)
		if r.log.Len() > 0 {
			t.Errorf("logged %s", r.log)
		}
		time.Sleep(time.Minute)
		r.want("wss://one.example/ws", nil, 4) // three attempts
		if n := strings.Count(r.log.String(), "level=WARN"); n != 1 || !strings.Contains(r.log.String(), "peer="+testTarget) {
			t.Errorf("%d warnings: %s", n, r.log)
		}
		time.Sleep(5*time.Second - 1)
		r.want("wss://one.example/ws", nil, 4)
		time.Sleep(time.Hour - 65*time.Second)
		r.want("wss://one.example/ws", nil, 7)
		time.Sleep(5*time.Second + 1)
		r.want("", ErrUnavailable, 10)
		up()
		r.want("wss://one.example/ws", nil, 11)
	})
}

func TestAnswerThatIsNoOutageCounts(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]error{401: ErrRefused, 403: ErrRefused, 404: ErrNotFound, 422: ErrInvalidRequest} {
		synctest.Test(t, func(t *testing.T) {
			r := newDirectoryRig(t, nil)
			r.want("wss://one.example/ws", nil, 1)
			time.Sleep(time.Minute)
			r.down(status)
			r.want("", kind, 2)
		})
	}
}

func TestRegistryThatIsDownFromTheStartIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newDirectoryRig(t, func(o *ClientOptions) { o.Rand = func() float64 { return 0 } })
		up := r.down(502)
		r.want("", ErrUnavailable, 3)
		up()
		r.want("wss://one.example/ws", nil, 4)
	})
}

func TestResolversOfOneAgentShareOneQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newDirectoryRig(t, nil)
		release := make(chan struct{})
		before := r.g.before
		r.g.before = func(w http.ResponseWriter, req *http.Request) bool { <-release; return before(w, req) }
		leaving, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 10 {
			ctx := t.Context()
			if i == 0 {
				ctx = leaving
			}
			wg.Go(func() {
				got, err := r.d.Resolve(ctx, testTarget)
				if i == 0 && !errors.Is(err, context.Canceled) || i > 0 && (err != nil || got.Endpoint == "") {
					t.Errorf("%d: %+v, %v", i, got, err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(release)
		wg.Wait()
		r.want("wss://one.example/ws", nil, 1)
	})
}

func TestDirectoryRemembersABoundedNumberOfAgents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newDirectoryRig(t, nil)
		r.want("wss://one.example/ws", nil, 1)
		for i := range maxCached {
			if _, err := r.d.Resolve(t.Context(), fmt.Sprintf("00000000-0000-4000-8000-%012x", i)); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(r.d.cache.entries); n != maxCached {
			t.Errorf("%d entries", n)
		}
		r.want("wss://one.example/ws", nil, 2)
	})
}

func TestStaticRecordsComeFirstAndNeedNoRegistry(t *testing.T) {
	t.Parallel()
	static := []Record{{AgentID: testTarget, Endpoint: "ws://10.0.0.7/ws", Name: "printer"}}
	d, err := NewDirectory(DirectoryOptions{Static: static})
	if err != nil {
		t.Fatal(err)
	}
	d.Failed(testTarget)
	if r, err := d.Resolve(t.Context(), testTarget); err != nil || r.Endpoint != "ws://10.0.0.7/ws" || r.Name != "printer" || !r.Static {
		t.Errorf("%+v, %v", r, err)
	}
	for _, id := range []string{testAgent, "", "../x"} {
		if _, err := d.Resolve(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	g := newRegistry(newClock().now)
	found(g, func() string { return "wss://other.example/" })
	d, err = NewDirectory(DirectoryOptions{Static: static, Client: g.client(t, testAgent, ed25519Key(), nil)})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := d.Resolve(t.Context(), testTarget); err != nil || !r.Static {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := d.Resolve(t.Context(), testAgent); err != nil || r.Static || r.Endpoint != "wss://other.example/" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, bad := range [][]Record{
		{{AgentID: "x", Endpoint: "wss://a.example"}}, {{AgentID: testTarget}}, {{AgentID: testTarget, Endpoint: "http://a.example"}}, append(static, static...),
	} {
		if _, err := NewDirectory(DirectoryOptions{Static: bad}); !errors.Is(err, ErrInvalidRequest) && !errors.Is(err, ErrForbiddenEndpoint) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestAnnouncedEndpointsAreHeldToThePolicy(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]string{ // by registry: elsewhere, elsewhere with private networks allowed, on loopback
		"wss://a.example/":         "epl",
		"wss://8.8.8.8/":           "epl",
		"ws://a.example/":          "---",
		"wss://10.0.0.1/":          "-p-",
		"wss://169.254.169.254/":   "---",
		"ws://127.0.0.1:1/":        "-pl",
		"wss://localhost/":         "-pl",
		"http://a.example/":        "---",
		"wss://u:p@a.example/":     "---",
		"wss://[::ffff:10.0.0.1]/": "-p-",
	} {
		got := ""
		for i, registry := range []string{"https://registry.example/base", "https://registry.example/base", "http://[::1]:8443/base"} {
			g := newRegistry(newClock().now)
			found(g, func() string { return endpoint })
			c := g.client(t, testAgent, ed25519Key(), func(o *ClientOptions) { o.Credentials.RegistryURL = registry })
			d, err := NewDirectory(DirectoryOptions{Client: c, Policy: EndpointPolicy{AllowPrivate: i == 1}})
			if err != nil {
				t.Fatal(err)
			}
			switch r, err := d.Resolve(t.Context(), testTarget); {
			case err == nil && r.Endpoint == endpoint:
				got += "epl"[i : i+1]
			case errors.Is(err, ErrForbiddenEndpoint) && r.Endpoint == "":
				got += "-"
			default:
				t.Errorf("%s: %+v, %v", endpoint, r, err)
			}
			// The dialler gets the same policy.
			if err := d.Policy().Control("tcp4", "127.0.0.1:1", nil); (err == nil) != (i > 0) {
				t.Errorf("registry %s: loopback: %v", registry, err)
			}
			if err := d.Policy().Control("tcp4", "10.0.0.1:1", nil); (err == nil) != (i == 1) {
				t.Errorf("registry %s: private: %v", registry, err)
			}
		}
		if got != want {
			t.Errorf("%s is resolved for %q, want %q", endpoint, got, want)
		}
	}
}

func TestRecordRequestsCarryTheAgentsProof(t *testing.T) {
	t.Parallel()
	for _, key := range allKeys() {
		g := newRegistry(newClock().now)
		var seen []string
		g.before = func(w http.ResponseWriter, r *http.Request) bool {
			body := []byte{}
			if r.Body != nil {
				body, _ = io.ReadAll(r.Body)
			}
			_, err := VerifyProof(r.Header.Get("dpop"), ProofCheck{
				Method: r.Method, URLs: []string{"https://" + r.Host + r.URL.Path}, Key: key.Public(), Now: g.now, MaxLen: 4096,
			})
			if err != nil || r.Header.Get("agent-id") != testAgent || r.Header.Get("agent-secret") != testSecret {
				t.Errorf("%s %s: %v, %v", r.Method, r.URL, r.Header, err)
			}
			seen = append(seen, r.Method+" "+strings.TrimPrefix(r.URL.RequestURI(), "/base")+" "+string(body))
			switch {
			case r.URL.Path != "/base/directory":
				return answer(200, `{"agent_id":"`+r.URL.Path[len("/base/directory/"):]+`"}`)(w, r)
			case r.URL.RawQuery == "":
				return answer(200, `{"agents":[{"agent_id":"a"},{"agent_id":"b"}],"next":"b"}`)(w, r)
			}
			return answer(200, `{"agents":[{"agent_id":"c"}]}`)(w, r)
		}
		c := g.client(t, testAgent, key, nil)
		if r, err := c.Resolve(t.Context(), testTarget); err != nil || r.AgentID != testTarget {
			t.Errorf("%+v, %v", r, err)
		}
		if all, err := c.Peers(t.Context()); err != nil || len(all) != 3 || all[2].AgentID != "c" {
			t.Errorf("%+v, %v", all, err)
		}
		for _, a := range []Announcement{{}, {Endpoint: new("wss://a.example/ws"), Description: new(""), Capabilities: []string{}}} {
			if r, err := c.Announce(t.Context(), a); err != nil || r.AgentID != testAgent {
				t.Errorf("%+v, %v", r, err)
			}
		}
		if want := []string{
			"GET /directory/" + testTarget + " ", "GET /directory ", "GET /directory?after=b ", "PATCH /directory/" + testAgent + " {}",
			"PATCH /directory/" + testAgent + ` {"endpoint":"wss://a.example/ws","description":"","capabilities":[]}`,
		}; !reflect.DeepEqual(seen, want) {
			t.Errorf("asked %q, want %q", seen, want)
		}
	}
}

func TestRecordsOfALyingRegistryAreNotTaken(t *testing.T) {
	t.Parallel()
	g := newRegistry(newClock().now)
	c := g.client(t, testAgent, ed25519Key(), nil)
	for _, body := range []string{`{}`, `[]`, `{"agent_id":"` + testAgent + `","endpoint":"wss://a.example/"}`, `{"agent_id":7}`, `x`} {
		g.before = answer(200, body)
		if r, err := c.Resolve(t.Context(), testTarget); !errors.Is(err, ErrBadResponse) {
			t.Errorf("%s: %+v, %v", body, r, err)
		}
	}
	g.before = answer(200, `{"agents":[],"next":"x"}`) // for ever
	if _, err := c.Peers(t.Context()); !errors.Is(err, ErrBadResponse) {
		t.Errorf("endless list: %v", err)
	}
}

func TestRecordsNeedTheAgentsCredentials(t *testing.T) {
	t.Parallel()
	g := newRegistry(newClock().now)
	c := g.client(t, testAgent, ed25519Key(), func(o *ClientOptions) {
		o.Credentials.AgentID, o.Credentials.AgentSecret, o.Credentials.Key = "", "", nil
	})
	_, resolveErr := c.Resolve(t.Context(), testTarget)
	_, peersErr := c.Peers(t.Context())
	_, announceErr := c.Announce(t.Context(), Announcement{})
	for _, err := range []error{resolveErr, peersErr, announceErr} {
		if !errors.Is(err, ErrInvalidCredentials) {
			t.Errorf("err = %v", err)
		}
	}
	_, err := g.client(t, testAgent, ed25519Key(), nil).Resolve(t.Context(), "../agents/delete")
	if !errors.Is(err, ErrInvalidRequest) || len(g.asked) != 0 {
		t.Errorf("err = %v, asked %v", err, g.asked)
	}
}

// An original registry has none of this, and says so.
func TestOriginalRegistryKnowsNoRecords(t *testing.T) {
	t.Parallel()
	g := newRegistry(newClock().now)
	g.original = true
	c := g.client(t, testAgent, rsaKey(), nil)
	_, resolveErr := c.Resolve(t.Context(), testTarget)
	_, peersErr := c.Peers(t.Context())
	_, announceErr := c.Announce(t.Context(), Announcement{Endpoint: new("wss://a.example/")})
	for _, err := range []error{resolveErr, peersErr, announceErr} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("err = %v", err)
		}
	}
}

func TestRecordInJSONHasTheNamesOfTheAPI(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Record{AgentID: "i", Name: "n", Endpoint: "e", Description: "d", Capabilities: []string{"c"}, Static: true})
	if err != nil || string(text) != `{"agent_id":"i","name":"n","endpoint":"e","description":"d","capabilities":["c"]}` {
		t.Errorf("%s, %v", text, err)
	}
}
