#!/usr/bin/env python3
"""Certificates for tests: pki.py DIR

DIR gets ca.crt, ca.key, other-ca.crt; server.crt/.key for localhost and api.test, signed by ca;
client.crt/.key (O=system:nodes, CN=system:node:test), both in client.pem too; stranger.crt/.key of the
same name signed by other-ca.
"""
import os
import subprocess
import sys
import tempfile


def openssl(*args):
    subprocess.run(('openssl',) + args, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def authority(name):
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
            '-keyout', name + '.key', '-out', name + '.crt', '-days', '2', '-subj', '/CN=' + name)


def certificate(name, authority_name, subject, extensions):
    openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
            '-keyout', name + '.key', '-out', name + '.csr', '-subj', subject)
    with tempfile.NamedTemporaryFile('w') as f:
        f.write(extensions)
        f.flush()
        openssl('x509', '-req', '-in', name + '.csr', '-CA', authority_name + '.crt',
                '-CAkey', authority_name + '.key', '-set_serial', '0x' + os.urandom(8).hex(),
                '-days', '2', '-extfile', f.name, '-out', name + '.crt')
    os.unlink(name + '.csr')


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    os.chdir(sys.argv[1])
    authority('ca')
    authority('other-ca')
    certificate('server', 'ca', '/CN=server',
                'subjectAltName=DNS:localhost,DNS:api.test\nextendedKeyUsage=serverAuth\n')
    node = '/O=system:nodes/CN=system:node:test'
    certificate('client', 'ca', node, 'extendedKeyUsage=clientAuth\n')
    certificate('stranger', 'other-ca', node, 'extendedKeyUsage=clientAuth\n')
    with open('client.pem', 'w', encoding='ascii') as out:
        for name in ('client.crt', 'client.key'):
            with open(name, encoding='ascii') as f:
                out.write(f.read())


if __name__ == '__main__':
    main()
