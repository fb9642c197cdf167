package identity

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// What the three policies let through: nothing but public addresses, loopback
// too, private networks too.
const (
	nobody, everybody, privately, locally = "---", "plP", "--P", "-lP"
)

func TestEndpointsLeadOnlyWhereThePolicyAllows(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"1.1.1.1": everybody, "8.8.8.8": everybody, "100.63.255.255": everybody, "100.128.0.0": everybody, "172.15.255.255": everybody,
		"172.32.0.0": everybody, "9.255.255.255": everybody, "11.0.0.0": everybody, "192.167.255.255": everybody, "223.255.255.255": everybody,
		"2606:4700:4700::1111": everybody, "2a00::1": everybody, "::ffff:8.8.8.8": everybody, "64:ff9b::808:808": everybody, "2002:808:808::1": everybody,

		"127.0.0.1": locally, "127.255.255.254": locally, "::1": locally, "::ffff:127.0.0.1": locally, "64:ff9b::7f00:1": locally, "2002:7f00:1::1": locally,

		"10.0.0.1": privately, "10.255.255.255": privately, "172.16.0.1": privately, "172.31.255.255": privately, "192.168.1.1": privately,
		"100.64.0.1": privately, "100.127.255.255": privately, "100.100.100.200": privately, "fc00::1": privately, "fd00:ec2::254": privately,
		"::ffff:10.0.0.1": privately, "64:ff9b::a00:1": privately, "2002:c0a8:101::": privately, "::ffff:100.64.0.1": privately,

		"0.0.0.0": nobody, "0.1.2.3": nobody, "::": nobody, "::ffff:0.0.0.0": nobody,
		"169.254.169.254": nobody, "::ffff:169.254.169.254": nobody, "64:ff9b::a9fe:a9fe": nobody, "2002:a9fe:a9fe::": nobody, "fe80::1": nobody, "febf::1": nobody,
		"fe80::1%eth0": nobody, "::1%lo": nobody, "224.0.0.1": nobody, "239.255.255.255": nobody, "ff02::1": nobody, "ff0e::1": nobody,
		"255.255.255.255": nobody, "240.0.0.1": nobody, "192.0.0.192": nobody, "192.0.2.1": nobody, "198.51.100.1": nobody, "203.0.113.1": nobody,
		"198.18.0.1": nobody, "198.19.255.255": nobody, "192.88.99.1": nobody,
		"::7f00:1": nobody, "::8.8.8.8": nobody, "64:ff9b:1::a00:1": nobody, "100::1": nobody, "fec0::1": nobody, "2001::1": nobody, "2001:db8::1": nobody,
		"3fff::1": nobody, "4000::1": nobody, "5f00::1": nobody,
	} {
		got := ""
		for i, p := range []EndpointPolicy{{}, {AllowLoopback: true}, {AllowPrivate: true}} {
			port, network := "443", "tcp4"
			if netip.MustParseAddr(address).Is6() {
				network = "tcp6"
			}
			dialled := p.Control(network, net.JoinHostPort(address, port), nil)
			if got += "-"; dialled == nil {
				got = got[:i] + "plP"[i:i+1]
			} else if !errors.Is(dialled, ErrForbiddenEndpoint) {
				t.Errorf("%s: %v", address, dialled)
			}
			if strings.Contains(address, "%") {
				continue // refused for its form
			}
			written := p.Check("wss://" + net.JoinHostPort(address, port) + "/ws")
			if (written == nil) != (dialled == nil) {
				t.Errorf("%s as text: %v, as an address: %v", address, written, dialled)
			}
		}
		if got != want {
			t.Errorf("%s is let through for %q, want %q", address, got, want)
		}
	}
}

func TestOnlyTCPToAnAddressIsDialled(t *testing.T) {
	t.Parallel()
	p := EndpointPolicy{AllowPrivate: true, AllowInsecure: true, AllowLoopback: true}
	for _, c := range [][2]string{{"unix", "/run/docker.sock"}, {"udp", "8.8.8.8:53"}, {"tcp", "localhost:80"}, {"tcp", "8.8.8.8"}, {"tcp", ""}, {"tcp", "127.1:80"}} {
		if err := p.Control(c[0], c[1], nil); !errors.Is(err, ErrForbiddenEndpoint) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestEndpointIsAWebSocketURL(t *testing.T) {
	t.Parallel()
	open := EndpointPolicy{AllowInsecure: true, AllowPrivate: true}
	for _, good := range []string{
		"wss://a.example", "wss://a.example/ws?x=1", "ws://10.0.0.1:8080/ws", "WSS://A.EXAMPLE:65535/%20", "ws://localhost/ws", "wss://[::1]:1/", "wss://xn--bcher-kva.example/",
		"wss://a.example/" + strings.Repeat("x", maxEndpoint-16),
	} {
		if err := open.Check(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "a.example", "//a.example/ws", "wss:", "wss:///ws", "wss://", "wss://:443/", "wss:a.example", "http://a.example/", "https://a.example/", "file:///etc/passwd",
		"gopher://a.example/", "unix:/run/docker.sock", "javascript:alert(1)", "wss://user@a.example/", "wss://user:password@a.example/", "wss://@a.example/",
		"wss://a.example/#x", "wss://a.example/#", "wss://a.example:/", "wss://a.example:0/", "wss://a.example:65536/", "wss://a.example:x/", "wss://a.example:80:80/", "wss://a.example:-1/",
		"wss://[fe80::1%25eth0]/", "wss://[::1", "wss://[127.0.0.1]/", "wss://[v1.x]/", "wss://a b/", "wss://a.example/ x", "wss://a.example/\x00", "wss://a.example/\r\nHost: b", "wss://a.example/\x1b[2J",
		"wss://bücher.example/", "wss://a%2eexample/", " wss://a.example/", "wss://a.example/" + strings.Repeat("x", maxEndpoint-15),
	} {
		err := open.Check(bad)
		if !errors.Is(err, ErrForbiddenEndpoint) {
			t.Errorf("%q: %v", bad, err)
		} else if len(bad) > 12 && strings.Contains(err.Error(), bad) {
			t.Errorf("%q is repeated in %v", bad, err)
		}
	}
}

func TestUnencryptedEndpointsAreForLoopbackOnly(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{ // by policy: none, insecure, loopback, private, insecure and private
		"ws://a.example/":             "-i--b",
		"ws://8.8.8.8/":               "-i--b",
		"ws://10.0.0.1/":              "----b",
		"wss://10.0.0.1/":             "---pb",
		"ws://127.0.0.1/":             "--lpb",
		"ws://localhost:1/":           "--lpb",
		"wss://LOCALHOST/":            "--lpb",
		"wss://localhost./":           "--lpb",
		"wss://agents.localhost/":     "--lpb",
		"ws://[::ffff:127.0.0.1]/":    "--lpb",
		"wss://localhost.example/":    "nilpb",
		"ws://127.0.0.1.nip.example/": "-i--b",
	} {
		got := ""
		for i, p := range []EndpointPolicy{{}, {AllowInsecure: true}, {AllowLoopback: true}, {AllowPrivate: true}, {AllowInsecure: true, AllowPrivate: true}} {
			if p.Check(url) == nil {
				got += "nilpb"[i : i+1]
			} else {
				got += "-"
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

// nameServer is a resolver's connection to a name server that knows one address
// for each name at each time it is asked.
type nameServer struct {
	net.Conn
	asked *atomic.Int32
	say   func(n int) netip.Addr
	reply []byte
}

func (s *nameServer) Write(query []byte) (int, error) {
	// Two bytes of length (it is not a packet connection), header, the question as it came.
	q := query[2:]
	end := 12
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	kind := binary.BigEndian.Uint16(q[end+1:])
	m := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end+5]...)
	if ip := s.say(int(s.asked.Load())); kind == 1 && ip.Is4() || kind == 28 && ip.Is6() {
		s.asked.Add(1)
		m[7] = 1
		m = append(m, 0xc0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(ip.AsSlice())))
		m = append(m, ip.AsSlice()...)
	}
	s.reply = append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)
	return len(query), nil
}

func (s *nameServer) Read(p []byte) (int, error) {
	if len(s.reply) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.reply)
	s.reply = s.reply[n:]
	return n, nil
}

func TestNameThatTurnsInwardsIsNotDialled(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reached := make(chan struct{}, 10)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
			reached <- struct{}{}
		}
	}()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	dial := func(p EndpointPolicy, say func(n int) netip.Addr) error {
		var asked atomic.Int32
		d := net.Dialer{Control: p.Control, Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			inner, other := net.Pipe()
			_ = other.Close()
			return &nameServer{Conn: inner, asked: &asked, say: say}, nil
		}}}
		const name = "rebind.example"
		if err := p.Check(fmt.Sprintf("wss://%s:%s/ws", name, port)); err != nil {
			t.Fatal(err)
		}
		c, err := d.DialContext(t.Context(), "tcp", name+":"+port)
		if err == nil {
			_ = c.Close()
		}
		if asked.Load() == 0 {
			t.Error("the name was not looked up")
		}
		return err
	}
	for _, inwards := range []string{"127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "64:ff9b::7f00:1"} {
		if err := dial(EndpointPolicy{}, func(int) netip.Addr { return netip.MustParseAddr(inwards) }); !errors.Is(err, ErrForbiddenEndpoint) {
			t.Errorf("%s: %v", inwards, err)
		}
	}
	// Where it led the first time does not count the second time.
	var n atomic.Int32
	turning := func(int) netip.Addr {
		if n.Load() == 0 {
			return netip.MustParseAddr("192.0.2.1")
		}
		return netip.MustParseAddr("127.0.0.1")
	}
	for range 2 {
		if err := dial(EndpointPolicy{}, turning); !errors.Is(err, ErrForbiddenEndpoint) {
			t.Errorf("turned: %v", err)
		}
		n.Add(1)
	}
	if len(reached) > 0 {
		t.Error("something was reached")
	}
	if err := dial(EndpointPolicy{AllowLoopback: true}, turning); err != nil {
		t.Errorf("allowed: %v", err)
	}
	<-reached
	_ = ln.Close()
	<-served
}

// FuzzEndpoint: whatever is let through has a host that is not in the own
// network, and no user, fragment or control character.
func FuzzEndpoint(f *testing.F) {
	for _, seed := range []string{"wss://a.example/ws", "ws://127.0.0.1", "wss://[::1]:1/", "wss://[::ffff:a00:1]/", "wss://a@b/#c", "wss://0x7f.1/", "wss://[64:ff9b::1]:443"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if (EndpointPolicy{}).Check(raw) != nil {
			return
		}
		u, err := parseEndpoint(raw)
		if err != nil || u.Scheme != "wss" || u.User != nil || u.Fragment != "" || strings.ContainsAny(raw, "\r\n \x00\x1b") || len(raw) > 2048 {
			t.Fatalf("%q was let through: %v", raw, err)
		}
		if err := (EndpointPolicy{AllowInsecure: true, AllowPrivate: true}).Check(raw); err != nil {
			t.Errorf("%q: a wider policy refuses it: %v", raw, err)
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
			if ip = ip.Unmap(); ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
				t.Errorf("%q leads inwards", raw)
			}
		}
		if isLoopbackHost(u.Hostname()) {
			t.Errorf("%q is this machine", raw)
		}
		if _, err := normalizeURL(raw); err != nil {
			t.Errorf("no proof can be made for %q: %v", raw, err)
		}
	})
}
