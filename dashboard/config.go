package dashboard

import (
	"net/netip"
	"time"
)

// Config is the dashboard's settings. The defaults suit one machine: it serves on loopback, to
// those who have signed in.
type Config struct {
	HTTP           string         `name:"http" help:"Where the page, the API, /healthz, /readyz and /metrics are served (host:port)." default:"127.0.0.1:8080" env:"HTTP" placeholder:"ADDR"`
	Public         bool           `help:"Let anyone read coverage, public piles and events. What a payload held and residential piles still need a sign-in." default:"${public=false}" env:"PUBLIC" negatable:""`
	URL            string         `name:"url" help:"Where people's browsers find the page, such as https://piles.example.cn: for OpenID Connect, and cookies over TLS behind a proxy." env:"URL" placeholder:"URL"`
	SessionFor     time.Duration  `help:"How long a sign-in holds." default:"12h" env:"SESSION_FOR"`
	RequestRate    float64        `help:"Requests a second of one account, token or stranger's address, four times as many at once; 0 for no limit." default:"100" env:"REQUEST_RATE"`
	TrustedProxies []netip.Prefix `help:"Networks of the proxies before the dashboard, whose X-Forwarded-For is believed." env:"TRUSTED_PROXIES" placeholder:"CIDR"`
	OIDC           OIDCConfig     `embed:"" prefix:"oidc-" envprefix:"OIDC_"`
	Demo           bool           `kong:"-"` // anyone may sign in with the demo's accounts
	WebDir         string         `name:"web-dir" help:"Serve the page's files from this directory instead of from the program, to work on them." env:"WEB_DIR" placeholder:"DIR" type:"path"`
	PolicyDocument string         `help:"Number and date of the regulation (文号) that decisions rest on; empty while on trial (试行)." env:"POLICY_DOCUMENT" placeholder:"TEXT"`
}

// Defaults is the dashboard of one machine: reachable from that machine only, read by those who
// have signed in.
func Defaults() *Config {
	return &Config{HTTP: "127.0.0.1:8080", SessionFor: 12 * time.Hour, RequestRate: 100}
}

// Limits that are not settings: each bounds what one visitor can cost the others.
const (
	mergeFor        = 250 * time.Millisecond // deltas of a topic are merged for so long
	pageHeartbeat   = 5 * time.Second        // so that a page can tell that it has gone stale
	keepEvents      = 5_000                  // in memory, of the whole province
	eventsAtMost    = 200                    // in one snapshot or answer
	keepRejects     = 5_000                  // in memory
	changesForPast  = 5_000                  // messages of CHANGES read again at start, for their events
	clientsAtMost   = 10_000
	topicsPerClient = 64
	clientQueue     = 16       // messages; behind it a topic is sent as a snapshot
	clientMessage   = 16 << 10 // bytes that a client may send at once
	writeWithin     = 15 * time.Second
	goodbyeWithin   = time.Second
	pingEvery       = 30 * time.Second
	pongWithin      = 75 * time.Second
	stopWithin      = 3 * time.Second
	retryEvery      = time.Second // after the log or the registry did not answer
	lookEvery       = 2 * time.Second
	casesEvery      = time.Second
)
