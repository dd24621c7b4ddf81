// A small HTTP server: a thread per connection, and for each request maps,
// sorting and formatting.
//
//	server PORT SECONDS
//
// Serves 127.0.0.1 for as long; port 0 is any.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <netinet/in.h>
#include <poll.h>
#include <sstream>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace site {

struct Article {
	std::string title;
	int price;
};

class Shop {
public:
	std::string page(unsigned seed) const
	{
		std::map<std::string, int> sold;
		std::vector<Article> list;
		for (int i = 0; i < 200; i++) {
			seed = seed * 1103515245 + 12345;
			std::string title = "article-" + std::to_string(seed / 65536 % 100);
			sold[title]++;
			list.push_back({title, int(seed / 65536 % 1000)});
		}
		std::sort(list.begin(), list.end(), [](const Article &a, const Article &b) { return a.price < b.price; });
		std::ostringstream text;
		for (const Article &a : list)
			text << a.title << ' ' << a.price << ' ' << sold[a.title] << '\n';
		return text.str();
	}
};

static void serve(int connection)
{
	const Shop shop;
	char request[4096];
	for (unsigned n = 1; read(connection, request, sizeof request) > 0; n++) {
		std::string page = shop.page(n);
		std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(page.size()) + "\r\n\r\n" + page;
		if (write(connection, answer.data(), answer.size()) < 0)
			break;
	}
	close(connection);
}

} // namespace site

int main(int argc, char **argv)
{
	double limit = argc > 2 ? atof(argv[2]) : 0;
	if (limit <= 0) {
		fprintf(stderr, "usage: server PORT SECONDS\n");
		return 2;
	}
	sockaddr_in address = {};
	address.sin_family = AF_INET;
	address.sin_port = htons(atoi(argv[1]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(listener, reinterpret_cast<sockaddr *>(&address), sizeof address) || listen(listener, 16)) {
		perror("server");
		return 1;
	}
	timespec begin, now;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		pollfd ready = {listener, POLLIN, 0};
		if (poll(&ready, 1, 100) > 0)
			std::thread(site::serve, accept(listener, nullptr, nullptr)).detach();
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - begin.tv_sec + (now.tv_nsec - begin.tv_nsec) / 1e9 < limit);
	return 0;
}
