package identity

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

const maxEndpoint = 2 << 10

// EndpointPolicy says which endpoints may be dialled. An endpoint that another
// agent has announced is a stranger's wish to have this machine connect
// somewhere, so the zero value lets through wss to public addresses only.
//
// Check looks at the URL, Control at the address that its host has turned out
// to be. Only the latter is safe from names that point into the own network,
// now or at the second look-up: put it into the net.Dialer that is used, or
// call it with the address that is about to be dialled by other means.
type EndpointPolicy struct {
	// AllowInsecure allows ws beyond loopback, which everybody on the way can
	// read and change.
	AllowInsecure bool
	// AllowPrivate allows loopback addresses, those of private networks (RFC
	// 1918, RFC 4193) and those that providers share among customers (RFC 6598).
	AllowPrivate bool
	// AllowLoopback allows loopback addresses alone: for development.
	AllowLoopback bool
}

// Check refuses a URL that is not an endpoint (a ws or wss URL of at most 2048
// bytes, in ASCII, without user information and fragment), and one that may not
// be dialled as far as that can be seen from its text. The error is
// ErrForbiddenEndpoint; it does not repeat the URL.
func (p EndpointPolicy) Check(rawURL string) error {
	u, err := parseEndpoint(rawURL)
	if err != nil {
		return err
	}
	host := strings.TrimSuffix(u.Hostname(), ".")
	if u.Scheme == "ws" && !p.AllowInsecure && !isLoopbackHost(host) {
		return forbidden("ws is not encrypted, beyond loopback it has to be wss")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return p.checkIP(ip)
	}
	local := strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") // RFC 6761 §6.3
	if local && !p.AllowLoopback && !p.AllowPrivate {
		return forbidden("a name of this machine")
	}
	return nil
}

// Control refuses addresses that the policy does not allow. It is made for the
// field of this name of a net.Dialer, which calls it for each address that a
// name resolves to, before the connection is made. The error is
// ErrForbiddenEndpoint.
func (p EndpointPolicy) Control(network, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") {
		return forbidden("not a TCP address")
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return forbidden("not an IP address")
	}
	return p.checkIP(ip)
}

func forbidden(why string) *Error { return fail(ErrForbiddenEndpoint, "check endpoint", "%s", why) }

// parseEndpoint checks the form of an endpoint.
func parseEndpoint(raw string) (*url.URL, error) {
	if len(raw) > maxEndpoint {
		return nil, forbidden("an endpoint has at most 2048 bytes")
	}
	// Other characters would come back in terminals and logs.
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, forbidden("an endpoint is written in ASCII, without blanks")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "":
		return nil, forbidden("an endpoint is a ws or wss url")
	case u.User != nil:
		return nil, forbidden("an endpoint has no user information")
	case strings.Contains(raw, "#"): // an empty one too (RFC 6455 §3)
		return nil, forbidden("an endpoint has no fragment")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, forbidden("the port of an endpoint is 1 to 65535")
		}
	}
	if _, err := normalizeHost(u.Host, u.Hostname()); err != nil {
		return nil, forbidden("the host of an endpoint is a name or an address")
	}
	return u, nil
}

// reach is how far an address leads.
type reach int

const (
	reachNever    reach = iota // nothing that an agent could be at
	reachPublic                // the Internet
	reachPrivate               // a network that others have too
	reachLoopback              // this machine
)

func (p EndpointPolicy) checkIP(ip netip.Addr) error {
	switch r := reachOf(ip); {
	case r == reachPublic, p.AllowPrivate && r != reachNever, p.AllowLoopback && r == reachLoopback:
		return nil
	case r == reachLoopback:
		return forbidden("a loopback address")
	case r == reachPrivate:
		return forbidden("an address of a private network")
	}
	return forbidden("an address that is reserved, link-local, multicast or unspecified")
}

// block is a range of addresses with the same reach.
type block struct {
	prefix netip.Prefix
	reach  reach
}

func blocks(r reach, prefixes ...string) []block {
	list := make([]block, len(prefixes))
	for i, p := range prefixes {
		list[i] = block{netip.MustParsePrefix(p), r}
	}
	return list
}

var (
	// IPv4 is public unless it is listed here: IANA's registry of special
	// addresses. Link-local is never let through: clouds keep the machine's own
	// credentials there.
	special4 = append(append(
		blocks(reachLoopback, "127.0.0.0/8"),
		blocks(reachPrivate, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")...),
		blocks(reachNever, "0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
			"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")...)

	// IPv6 is public only in 2000::/3, which is all that is given out, less
	// what there is special: IETF protocols and tunnels (Teredo, ORCHID),
	// documentation.
	special6 = append(append(append(
		blocks(reachLoopback, "::1/128"),
		blocks(reachPrivate, "fc00::/7")...),
		blocks(reachNever, "2001::/23", "2001:db8::/32", "3fff::/20")...),
		blocks(reachPublic, "2000::/3")...)

	nat64  = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixTo4 = netip.MustParsePrefix("2002::/16")    // RFC 3056
)

// reachOf looks at an IPv4 address wherever it hides in an IPv6 address. One with
// a zone is in no prefix, and so is never reached.
func reachOf(ip netip.Addr) reach {
	ip = ip.Unmap()
	if ip.Is4() {
		return lookUp(special4, ip, reachPublic)
	}
	b := ip.As16()
	switch {
	case nat64.Contains(ip):
		return reachOf(netip.AddrFrom4([4]byte(b[12:])))
	case sixTo4.Contains(ip):
		return reachOf(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return lookUp(special6, ip, reachNever)
}

func lookUp(list []block, ip netip.Addr, otherwise reach) reach {
	for _, b := range list {
		if b.prefix.Contains(ip) {
			return b.reach
		}
	}
	return otherwise
}
