package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"pilewatch/internal/testprog"
)

// The whole way, from a pile's message to the screen: the ring shows the API's figure, a click on a
// county lists its towns, and a message of a pile changes the page without a reload.
func TestAPilesMessageReachesThePage(t *testing.T) {
	path := testprog.Chromium(t)
	f := startPlatform(t, setup{})
	allocated, end := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	t.Cleanup(end)
	ctx, closeTab := chromedp.NewContext(allocated)
	t.Cleanup(closeTab)
	if _, err := chromedp.Run(ctx, chromedp.Steps(chromedp.EmulateViewport(1440, 900), chromedp.Navigate("http://"+f.http+"/"))); err != nil {
		t.Fatal(err)
	}
	holds := func(what, script string) {
		t.Helper()
		f.until(what, func() error {
			ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+script+")"))
			if err == nil && !ok {
				err = errors.New("it does not hold")
			}
			return err
		})
	}
	ring := func(effective int) string {
		return fmt.Sprintf(`document.querySelector('[aria-label="乡镇有效覆盖"] [role="img"]')?.getAttribute('aria-label').includes('%d / 1,129')`, effective)
	}
	before := f.coverage("37").Effective
	holds("the ring shows the API's figure", ring(before))
	holds("the page stays the same one", `window.notReloaded = true`)

	// A click on the county, on the map.
	holds("the map is drawn", `window.pilewatch?.mapPoint('371721')`)
	at, err := chromedp.Run(ctx, chromedp.Evaluate[struct{ X, Y float64 }](`(({ x, y }) => ({ X: x, Y: y }))(window.pilewatch.mapPoint('371721'))`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Run(ctx, chromedp.MouseClickXY(at.X, at.Y)); err != nil {
		t.Fatal(err)
	}
	state := func(want string) string {
		return fmt.Sprintf(`document.querySelector('tr[data-division="371721101"]')?.dataset.state === %q`, want)
	}
	holds("its towns are listed", state("unverified"))
	f.publish(t, "MA3CLQP01", "evcs/v1/MA3CLQP01/P1/status", status("1", time.Now(), 1))
	holds("the town has become effective", state("effective"))
	holds("back to the overview", `(location.hash = '#/') === '#/'`)
	holds("the ring has it too", ring(before+1))
	holds("it is the same page", `window.notReloaded`)
}
