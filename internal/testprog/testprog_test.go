package testprog

import (
	"net/http"
	"testing"
)

func TestInfluxComesBackAfterAKill(t *testing.T) {
	s := InfluxServer(t)
	for range 2 {
		res, err := http.Get("http://" + s.Addr + "/ping")
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		if got := res.Header.Get("X-Influxdb-Version"); got == "" {
			t.Errorf("%s answers without a version", s.Addr)
		}
		s.Kill()
		s.Start(t)
	}
}

func TestMosquittoAnswers(t *testing.T) {
	if addr := Mosquitto(t, "max_queued_messages 0\n"); addr == "" {
		t.Error("no address")
	}
}
