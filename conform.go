package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"pilewatch/gateway"
	"pilewatch/internal/wire"
)

// ConformCmd is `pilewatch conform`.
type ConformCmd struct {
	File     string        `arg:"" optional:"" help:"File with a message a line, TOPIC PAYLOAD as mosquitto_sub -v prints them, or PAYLOAD with --topic; - or nothing reads standard input." placeholder:"FILE"`
	Topic    string        `help:"Topic of the messages, where their lines do not begin with one." placeholder:"TOPIC"`
	Broker   string        `help:"Listen at an operator's broker instead, named as for --bridge: mqtt://USER@HOST:PORT/OPERATOR?password-file=FILE." placeholder:"URL"`
	For      time.Duration `help:"With --broker, listen for so long." default:"1m"`
	Messages int           `help:"With --broker, leave earlier once so many messages have come; 0 does not." placeholder:"N"`
}

// Validate names settings that do not go together. kong calls it.
func (c *ConformCmd) Validate() error {
	if c.Broker != "" && (c.File != "" || c.Topic != "") {
		return errors.New("--broker: takes neither a file nor --topic, messages and topics come from the broker")
	}
	return nil
}

// Run checks messages by the same code as the gateway, but for what only the registry knows.
func (c *ConformCmd) Run(ctx context.Context, out io.Writer) error {
	r := &conformity{out: out}
	if err := c.read(ctx, r); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d messages: %d objects can be used, %d problems, %d fields that are not known and left out\n", r.messages, r.usable, r.problems, r.unknown)
	switch {
	case r.messages == 0:
		return errors.New("no message came, so nothing is known of them")
	case r.problems > 0:
		return fmt.Errorf("%d problems", r.problems)
	}
	return nil
}

func (c *ConformCmd) read(ctx context.Context, r *conformity) error {
	if c.Broker != "" {
		listening, cancel := context.WithTimeout(ctx, c.For)
		defer cancel()
		return gateway.Overhear(listening, c.Broker, func(topic string, payload []byte) {
			if r.message(topic, topic, payload) == c.Messages {
				cancel()
			}
		})
	}
	in := io.Reader(os.Stdin)
	if c.File != "" && c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("open messages: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		in = f
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 2*wire.MaxPayloadBytes)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		topic, payload := c.Topic, line
		if topic == "" {
			before, after, found := bytes.Cut(line, []byte(" "))
			if !found || bytes.ContainsAny(before[:1], "{[") {
				return fmt.Errorf("line %d: want TOPIC PAYLOAD, or give the topic with --topic", n)
			}
			topic, payload = string(before), after
		}
		r.message(fmt.Sprintf("line %d", n), topic, payload)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read messages: %w; a line may have %d bytes", err, 2*wire.MaxPayloadBytes)
	}
	return nil
}

// A conformity prints what is wrong with messages and counts. It is safe for concurrent use.
type conformity struct {
	mu                                  sync.Mutex
	out                                 io.Writer
	messages, usable, problems, unknown int
}

// message checks one message that came from where and tells how many there were.
func (r *conformity) message(where, topic string, payload []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages++
	address, err := wire.ParseTopic(topic)
	if err != nil {
		r.tell(where, &wire.Reject{Index: -1, Reason: wire.BadTopic, Detail: fmt.Sprintf("%s: %v", topic, err)})
		return r.messages
	}
	readings, refused, counts := wire.Decode(address, payload, time.Now())
	r.usable += len(readings)
	r.unknown += counts.UnknownFields
	for i := range refused {
		r.tell(where, &refused[i])
	}
	return r.messages
}

func (r *conformity) tell(where string, reject *wire.Reject) {
	r.problems += max(reject.Count, 1)
	var whose []string
	if reject.Index >= 0 {
		whose = append(whose, fmt.Sprintf("object %d", reject.Index+1))
	}
	if reject.Pile != "" {
		whose = append(whose, "pile "+reject.Pile)
	}
	if reject.Connector != "" {
		whose = append(whose, "connector "+reject.Connector)
	}
	if reject.Count > 1 {
		whose = append(whose, fmt.Sprintf("and %d more", reject.Count-1))
	}
	fmt.Fprintf(r.out, "%s: %s: %s", where, reject.Reason, reject.Detail)
	if len(whose) > 0 {
		fmt.Fprintf(r.out, " (%s)", strings.Join(whose, ", "))
	}
	fmt.Fprintln(r.out)
}
