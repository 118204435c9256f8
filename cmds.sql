set search_path=app,public;
\d
\d parent
\d+ parent
\d child
\d+ child
\d v
\d+ v
\d s
\d child_d
\dt
\dt+
\dt app.*
\di
\di+
\dv
\dv+
\ds
\ds+
\dn
\dn+
\du
\du+
\dg
\df
\df+ abs
\df app.*
\l
\l+
\dT
\dT+
\dp
\z
\ddp
\dD
\dO
\dc
\dC
\db
\db+
\do
\da
\dy
\dconfig
\drds
\dx
\dm
\dE
\dL
\dA
\dRp
\dRs
\dF
\des
\dPi
\dP
\dd
\dX
\sv v
\dS pg_class
