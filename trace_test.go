package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A message's batch is one trace at the collector, from the door until the history has it.
func TestAReadingIsTracedFromTheDoorToTheHistory(t *testing.T) {
	var mu sync.Mutex
	spans := make(map[string][]string) // names of a trace's spans
	to := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var told collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &told)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, of := range told.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				for _, s := range scope.Spans {
					id := fmt.Sprintf("%x", s.TraceId)
					name, _, _ := strings.Cut(s.Name, " ")
					spans[id] = append(spans[id], name)
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(to.Close)

	f := startPlatform(t, setup{trace: TraceConfig{TraceURL: to.URL, TraceShare: 1}})
	f.publish(t, "MA3CLQP01", "evcs/v1/MA3CLQP01/P1/status", status("1", time.Now(), 3))
	f.until("the batch's trace is whole", func() error {
		mu.Lock()
		defer mu.Unlock()
		for _, names := range spans {
			if slices.Contains(names, "store") && slices.Contains(names, "history") {
				return nil
			}
		}
		return fmt.Errorf("the collector was told %v", spans)
	})
}

func TestTraceSettingsThatCannotBeUsed(t *testing.T) {
	for _, c := range []struct {
		cfg  TraceConfig
		want string
	}{
		{TraceConfig{TraceShare: 1.5}, "--trace-share 1.5: from 0, nothing, to 1, every batch"},
		{TraceConfig{TraceURL: "127.0.0.1:4318"}, "--trace-url 127.0.0.1:4318: an address such as http://127.0.0.1:4318"},
		{TraceConfig{TraceURL: "http://127.0.0.1:4318", TraceShare: 0.01}, ""},
	} {
		if err := c.cfg.Validate(); (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%+v: %v, want %q", c.cfg, err, c.want)
		}
	}
}
