"""Addresses to which no webhook may lead. Each names a trick that has worked somewhere."""

from __future__ import annotations

LOOPBACK = [
    "127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254", "0.0.0.0", "0.0.0.1", "0.1.2.3",
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]",
]  # fmt: skip
NUMBERS = [
    "2130706433", "017700000001", "0x7f000001", "0x7F000001", "127.1", "127.0.1", "0", "1",
    "0177.0.0.1", "0177.0.0.01", "0x7f.0.0.1", "0x7f.1", "127.0.0.01", "127.000.000.001",
    "0127.0.0.1", "3232235521", "0xc0a80001", "0xa9fea9fe", "2852039166", "025177524776",
    "169.254.43518", "0251.0376.0251.0376", "0xa9.0xfe.0xa9.0xfe", "256.256.256.256",
    "1.2.3.4.5", "127.0.0.1.", "127.0.0.1..", "10.1", "192.168.1", "00000000177.0.0.1",
    "4294967295", "4294967296", "340282366920938463463374607431768211455", "0x", "08.8.8.8",
]  # fmt: skip
INNER_V4 = [
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.1",
    "100.64.0.1", "100.127.255.254", "169.254.0.1", "169.254.169.254", "169.254.170.2",
    "100.100.100.200", "168.63.129.16", "192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.0.192",
    "192.0.2.1", "198.51.100.7", "203.0.113.9", "198.18.0.1", "198.19.255.255", "192.88.99.1",
    "192.31.196.1", "192.52.193.1", "192.175.48.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
    "255.255.255.255", "255.255.255.254",
]  # fmt: skip
INNER_V6 = [
    "[fe80::1]", "[febf::1]", "[fec0::1]", "[feff::1]", "[fc00::1]", "[fd00::1]", "[fd00:ec2::254]",
    "[fdff:ffff::1]", "[ff02::1]", "[ff0e::1]", "[2001:db8::1]", "[3fff::1]", "[100::1]",
    "[2001:10::1]", "[2001:20::1]", "[2001:2::1]", "[5f00::1]", "[4000::1]", "[8000::1]",
    "[200::1]", "[400::1]", "[e000::1]", "[2620:4f:8000::1]", "[1::1]", "[0:1::1]",
]  # fmt: skip
WRAPPED = [
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]", "[::ffff:8.8.8.8]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::ffff:0:127.0.0.1]",
    "[::ffff:0:7f00:1]", "[::127.0.0.1]", "[::7f00:1]", "[::10.0.0.1]", "[::8.8.8.8]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::c0a8:1]", "[64:ff9b:1::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[64:ff9b:1::8.8.8.8]",
    "[64:ff9b:1:ffff::1]", "[2002:7f00:1::]", "[2002:7f00:1::1]", "[2002:a00:1::1]",
    "[2002:a9fe:a9fe::]", "[2002:c0a8:101::1]", "[2002:808:808::1]", "[2001:0:7f00:1::]",
    "[2001:0:a00:1:0:0:f5ff:fffe]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[2001::1]",
    "[2a00:1450:4001::5efe:127.0.0.1]", "[2a00:1450:4001:80b:0:5efe:7f00:1]",
    "[2a00:1450:4001:80b:200:5efe:a00:1]", "[fe80::5efe:192.168.0.1]",
]  # fmt: skip
ZONES = [
    "[fe80::1%eth0]", "[fe80::1%25eth0]", "[fe80::1%251]", "[::1%lo]", "[::1%25lo]",
    "[2a00:1450:4001::8%25eth0]",
]  # fmt: skip
NAMES = [
    "localhost", "LOCALHOST", "localhost.", "localhost.localdomain", "foo.localhost", "localdomain",
    "ip6-localhost", "printer", "printer.local", "db.internal", "metadata.google.internal",
    "metadata", "instance-data", "wiki.corp", "router.lan", "nas.home", "nas.home.arpa",
    "host.docker.internal", "kubernetes.default.svc.cluster.local", "gateway.docker.internal",
    "intranet", "x.intranet", "x.private", "shop.test", "shop.example", "shop.invalid",
    "shop.onion", "1.0.0.127.in-addr.arpa", "shop.alt",
]  # fmt: skip
BROKEN_NAMES = [
    "", ".", "..", "shop..com", ".shop.com", "shop.com.", "-shop.com", "shop-.com", "sh_op.com",
    "shop.com%00", "shop.com%2f", "127.0.0.1%2f@shop.com", "%31%32%37.0.0.1", "%6c%6f%63%61lhost",
    "a" * 64 + ".com", ("a" * 60 + ".") * 5 + "com", "xn--", "xn--a.com", "xn--zz.com",
    "[shop.com]",
    "[127.0.0.1]", "[::1", "::1]", "[]", "[v1.127]",
    "shop.com[", "shop,com", "shop;com", "*.com",
]  # fmt: skip
LOOK_ALIKES = [
    "①②⑦.⓪.⓪.①", "１２７.０.０.１", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ", "loca\u00adlhost", "local\u200bhost", "ⅼocalhost",
    "loKalhost", "ſhop.com", "straße.de", "bücher.com", "١٢٧.٠.٠.١", "१२७.०.०.१", "shop\u3002com",
    "\u2488.0.0.1", "⁄⁄127.0.0.1",
]  # fmt: skip
HOSTS = [
    *(*LOOPBACK, *NUMBERS, *INNER_V4, *INNER_V6, *WRAPPED),
    *(*ZONES, *NAMES, *BROKEN_NAMES, *LOOK_ALIKES),
]

# Whole addresses: everything beside the host.
SCHEMES = [
    "http://shop.com/", "ftp://shop.com/", "file:///etc/passwd", "gopher://shop.com:70/_x",
    "dict://shop.com:11211/stats", "ldap://shop.com/", "javascript:alert(1)", "data:text/html,x",
    "ws://shop.com/", "wss://shop.com/", "unix:///run/redis.sock", "//shop.com/", "shop.com",
    "/hook", "https:shop.com", "https:/shop.com", "https:///shop.com", "https://", "https:", "",
    "httpss://shop.com/", "jar:https://shop.com!/", "http+unix://x/",
    "view-source:https://shop.com",
    "\thttps://shop.com/", " https://shop.com/", "https://shop.com/ ", "https ://shop.com/",
]  # fmt: skip
USERS = [
    "https://user@shop.com/", "https://user:word@shop.com/", "https://:@shop.com/",
    "https://@shop.com/", "https://shop.com@127.0.0.1/", "https://127.0.0.1@shop.com/",
    "https://shop.com:443@127.0.0.1/", "https://shop.com\\@127.0.0.1/",
    "https://127.0.0.1\\@shop.com/", "https://shop.com&@127.0.0.1#@shop.com/",
    "https://shop.com#@127.0.0.1/", "https://127.0.0.1#.shop.com/", "https://127.0.0.1;@shop.com/",
    "https://shop.com%40127.0.0.1/", "https://a:b@shop.com:80@127.0.0.1/",
]  # fmt: skip
PORTS = [
    f"https://shop.com:{port}/"
    for port in (
        *(0, 1, 7, 9, 19, 20, 21, 22, 23, 25, 53, 69, 79, 80, 110, 111, 123, 137, 139, 143, 389),
        *(445, 465, 514, 587, 636, 873, 993, 995, 1080, 2049, 2375, 2379, 3128, 3306, 3389, 4190),
        *(5432, 5900, 6000, 6379, 6667, 9200, 10250, 11211, 27017, 65536, 99999, -1),
    )
] + [
    "https://shop.com:/", "https://shop.com:x/", "https://shop.com:443x/", "https://shop.com:4 43/",
    "https://shop.com:443:443/", "https://shop.com:%34%34%33/", "https://shop.com:４４３/",
    "https://shop.com:0x1bb/", "https://shop.com:+443x/", "https://shop.com:1_0/",
]  # fmt: skip
LINES = [
    "https://shop.com/\r\nHost: 127.0.0.1", "https://shop.com/\nX: y", "https://shop.com\r\n/",
    "https://shop.com/\x00", "https://shop.com/\x0b", "https://shop.com/\t", "https://sh\nop.com/",
    "https://shop.com/\u2028x", "https://shop.com/\x85", "https://shop.com/a b",
    "https://shop.com/?a=\r\nb", "https://shop.com/é", "https://shop.com/\x7f",
    "https://shop.com/\\",
    'https://shop.com/"><script>', "https://shop.com/{x}", "https://shop.com/`id`",
    "https://shop.com/#part", "https://shop.com/" + "a" * 500, "https://shop.com/\udce9",
    "https://shop.com\u2215x/", "https://[::1]\u0000/", "https://shop.com/|id",
    "https://shop.com/^",
]  # fmt: skip
URLS = [*(f"https://{host}/" for host in HOSTS), *SCHEMES, *USERS, *PORTS, *LINES]

# What a name may turn out to lead to; each is refused when it is looked up.
ADDRESSES = [
    host.strip("[]")
    for host in (*LOOPBACK, *INNER_V4, *INNER_V6, *WRAPPED)
]  # fmt: skip

GOOD = [
    "https://shop.com", "https://shop.com/", "https://SHOP.com/hook", "https://shop.com:443/",
    "https://shop.com:8443/a?b=c&d=%20", "https://a-b.shop.co.uk/x/y;z", "https://8.8.8.8/",
    "https://[2a00:1450:4001:80b::200e]/", "https://xn--bcher-kva.com/", "https://shop.com?x=1",
    "https://[64:ff9b::8.8.8.8]/", "https://93.184.216.34:1024/~x",
]  # fmt: skip
