// The Go peer and the load at a fixed rate, in one program:
//
//	peer proxy :8080 127.0.0.1:8000
//	peer model :8000
//	peer load 127.0.0.1:8080 <connections> <requests a second> <seconds> <file with one request>
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	switch os.Args[1] {
	case "proxy":
		proxy(os.Args[2], os.Args[3])
	case "model":
		model(os.Args[2])
	default:
		load(os.Args[2], number(3), number(4), number(5), os.Args[6])
	}
}

func proxy(listen, upstream string) {
	target, err := url.Parse("http://" + upstream)
	check(err)
	handler := httputil.NewSingleHostReverseProxy(target)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 2048
	transport.DisableCompression = true
	handler.Transport = transport
	check(http.ListenAndServe(listen, handler))
}

// A model that reads its whole request and predicts 1 for as many rows as `?rows=` says.
func model(listen string) {
	check(http.ListenAndServe(listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // the load has ended
		}
		rows, err := strconv.Atoi(r.URL.Query().Get("rows"))
		check(err)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"predictions": [1`+strings.Repeat(", 1", rows-1)+"]}")
	})))
}

// Each connection sends at its own fixed times, also when an answer was late: a latency counts
// from when the request was due.
func load(address string, connections, rate, seconds int, file string) {
	request, err := os.ReadFile(file)
	check(err)
	var all []float64
	var lock sync.Mutex
	var group sync.WaitGroup
	begin := time.Now().Add(50 * time.Millisecond)
	every := time.Second * time.Duration(connections) / time.Duration(rate)
	for c := range connections {
		group.Go(func() {
			connection, err := net.Dial("tcp", address)
			check(err)
			reader := bufio.NewReader(connection)
			var mine []float64
			due := begin.Add(every * time.Duration(c) / time.Duration(connections))
			for ; due.Before(begin.Add(time.Duration(seconds) * time.Second)); due = due.Add(every) {
				sleepUntil(due)
				_, err := connection.Write(request)
				check(err)
				answer, err := http.ReadResponse(reader, nil)
				check(err)
				_, err = io.Copy(io.Discard, answer.Body)
				check(err)
				if answer.StatusCode != http.StatusOK {
					log.Fatal(answer.Status)
				}
				mine = append(mine, time.Since(due).Seconds())
			}
			lock.Lock()
			all = append(all, mine...)
			lock.Unlock()
		})
	}
	group.Wait()
	sort.Float64s(all)
	check(json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"p50": all[len(all)/2], "p99": all[len(all)*99/100],
	}))
}

// time.Sleep is right to a millisecond only, which is longer than an answer takes.
func sleepUntil(due time.Time) {
	for left := time.Until(due); left > 0; left = time.Until(due) {
		span := syscall.NsecToTimespec(left.Nanoseconds())
		_ = syscall.Nanosleep(&span, nil) // the runtime's signals end it early
	}
}

func number(argument int) int {
	value, err := strconv.Atoi(os.Args[argument])
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
